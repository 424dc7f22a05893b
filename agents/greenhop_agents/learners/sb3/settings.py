"""What an agent of Stable-Baselines3 may be told; SB3 itself checks little, and by assertions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import ConfigDict, Field, ValidationError

from greenhop.errors import ConfigError
from greenhop.scenario.config import Count, NonNegative, Positive, describe
from greenhop.scenario.limits import Limited, Name
from greenhop_agents.learners.networks import NetworkConfig

Share = Annotated[float, Field(ge=0.0, le=1.0)]
PositiveShare = Annotated[float, Field(gt=0.0, le=1.0)]
Entropy = NonNegative | Annotated[str, Field(pattern=r"^auto(_[0-9.]+)?$")]


class Sb3Options(Limited):
    """Keyword arguments of the algorithm. Those it shares with others have ranges; it judges the rest itself."""

    model_config = ConfigDict(extra="allow")

    learning_rate: Positive = 3e-4
    """Step size of the optimiser."""
    batch_size: Count = 64
    """Samples of a gradient step."""
    gamma: PositiveShare = 0.99
    """Discount per step."""
    n_steps: Count = 2048
    """Steps of a rollout in each environment."""
    n_epochs: Count = 10
    """Passes over a rollout."""
    gae_lambda: Share = 0.95
    """Mix of generalised advantage estimation, from one step (0) to the whole rest (1)."""
    clip_range: Positive = 0.2
    """Ratio of probabilities beyond which a step is clipped."""
    ent_coef: Entropy = 0.0
    """Weight of the entropy bonus; `auto` or `auto_START` where the algorithm adapts it."""
    vf_coef: NonNegative = 0.5
    """Weight of the critic's loss."""
    max_grad_norm: Positive = 0.5
    """Norm that gradients are cut to."""
    target_kl: Positive | None = None
    """Divergence at which an update ends early; null: never."""
    buffer_size: Count = 1_000_000
    """Steps that a replay buffer keeps."""
    learning_starts: Annotated[int, Field(ge=0)] = 100
    """Steps before the first update."""
    tau: PositiveShare = 0.005
    """Share of a network that its target takes over in an update."""
    train_freq: Count = 1
    """Steps of every environment between updates."""
    gradient_steps: Annotated[int, Field(ge=-1)] = 1
    """Updates at a time; -1: as many as there were steps."""
    policy_kwargs: dict[str, Any] = Field(default_factory=dict)
    """Keyword arguments of SB3's policy."""


class Sb3Agent(Limited):
    """An agent of kind `sb3`."""

    model_config = ConfigDict(extra="allow")

    name: Name
    """What results and folders call it."""
    algorithm: str
    """`ppo`, `sac`, `td3`, or of sb3-contrib `recurrent_ppo`, `tqc`."""
    num_envs: Count
    """Environments stepped together."""
    beyond_price_follow: bool = False
    """Whether rewards count beyond what price following earns in the same step of the same episode."""
    bootstrap: bool = False
    """Whether an episode that ends goes on in the value of its final observation."""
    shaping: bool = False
    """Whether rewards include the change of what waiting work and stored energy are worth at terminal prices."""
    network: NetworkConfig | None = None
    """Our networks in place of SB3's policy, for `ppo`; null: SB3's own."""
    features: NetworkConfig | None = None
    """Our encoder in front of SB3's policy; null: none."""
    options: Sb3Options = Sb3Options()
    """Keyword arguments of the algorithm."""


def parse_agent(agent: Mapping[str, Any]) -> Sb3Agent:
    """The checked configuration of an agent.

    Raises:
        ConfigError: the first key that is wrong.
    """
    try:
        return Sb3Agent.model_validate(dict(agent))
    except ValidationError as error:
        raise ConfigError(f"agent.{describe(error, 'an agent of kind sb3')}") from None
