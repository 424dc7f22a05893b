"""Networks of the native learners: an encoder of regions with messages on links, one net a hub, an MLP, a constant.

Both map observations `[B, O]` to the mean of a Gaussian over *bids* `[B, A]`; the action is `tanh(bid)`, so it never
leaves −1…1 and the gradient of the simulator never dies at a clip. The last layer starts near zero, hence so does every
action: learning begins at price following.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from greenhop.episode.simulator import Simulator
from greenhop.scenario.config import Count
from greenhop.scenario.limits import Limited
from greenhop_agents.learners.hub_actor import HubActor, view_shape
from greenhop_agents.learners.hub_graph import Graph, bid_kinds, build_graph

HEAD_GAIN = 0.01  # weight of the last layer of an actor at the start
LOG_2PI = math.log(2.0 * math.pi)


class NetworkConfig(Limited):
    """Shape of the networks of one agent."""

    kind: Literal["region", "hub", "mlp", "constant"] = "region"
    """A graph network that any number of hubs shares; one MLP for all hubs, of which each decides from its own view
    alone (its critic sees everything); a plain MLP over the whole observation (linear without layers); or a constant
    action."""
    width: Count = 64
    """Numbers of a hidden layer."""
    layers: Annotated[int, Field(ge=0)] = 2
    """Rounds of messages, or hidden layers."""
    log_std: Annotated[float, Field(ge=-20.0)] = -2.0
    """Logarithm of a bid's standard deviation at the start."""


@contextmanager
def matrix_products(tf32: bool) -> Iterator[None]:
    """Let float32 matrix products be rounded to TensorFloat-32 inside, as before outside."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high" if tf32 else before)
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def cosine(first: float, last: float, done: float) -> float:
    """A value that falls from `first` to `last` along half a cosine while `done` goes from 0 to 1."""
    return last + (first - last) * 0.5 * (1.0 + math.cos(math.pi * min(1.0, done)))


def dense(inputs: int, outputs: int, gain: float = math.sqrt(2.0)) -> nn.Linear:
    """A linear layer with orthogonal weights and zero bias."""
    layer = nn.Linear(inputs, outputs)
    nn.init.orthogonal_(layer.weight, gain)
    nn.init.zeros_(layer.bias)
    return layer


class Messages(nn.Module):
    """One round of messages along the links, and a residual update of every region.

    `m_l = silu(A·h_src(l) + B·h_dst(l) + C·e_l)`;
    `h_r ← h_r + D·silu(norm(U·[h_r, Σ_{l into r} m_l, Σ_{l out of r} m_l, mean_r' h_r']))`.
    """

    def __init__(self, width: int, link_features: int) -> None:
        super().__init__()
        self.source = dense(width, width, 1.0)
        self.target = dense(width, width, 1.0)
        self.link = dense(link_features, width, 1.0)
        self.update = dense(4 * width, width, 1.0)
        self.norm = nn.LayerNorm(width)
        self.out = dense(width, width, 0.5)

    def forward(self, h: Tensor, links: Tensor, graph: Graph) -> Tensor:
        """`h` `[B, R, H]`, `links` `[B, L, E]` → `[B, R, H]`."""
        source, target = graph.sources.pick(self.source(h)), graph.targets.pick(self.target(h))
        message = nn.functional.silu(source + target + self.link(links))
        everyone = h.mean(1, keepdim=True).expand_as(h)
        parts = (h, graph.targets.sum(message), graph.sources.sum(message), everyone)
        mixed = self.norm(self.update(torch.cat(parts, dim=-1)))
        return h + self.out(nn.functional.silu(mixed))  # type: ignore[no-any-return]


class RegionEncoder(nn.Module):
    """Embeds every region from its own features, its storage, the calendar and what its links tell it.

    The same weights serve every region, link and unit: permuting regions permutes the output, and the module runs on
    any number of them.
    """

    def __init__(self, graph: Graph, width: int, layers: int) -> None:
        super().__init__()
        self.embed = dense(graph.region_features, width)
        self.norm = nn.LayerNorm(width)
        self.rounds = nn.ModuleList(Messages(width, graph.link_features) for _ in range(layers))

    def forward(self, obs: Tensor, graph: Graph) -> tuple[Tensor, Tensor, Tensor]:
        """`[B, O]` → regions `[B, R, H]`, links `[B, L, E]`, units `[B, U, N]`."""
        regions, links, units = graph.features(obs)
        h = nn.functional.silu(self.norm(self.embed(regions)))
        for messages in self.rounds:
            h = messages(h, links, graph)
        return h, links, units


class RegionActor(nn.Module):
    """Bids `[B, A]` from region embeddings: a head for regions, one for storage units and one for links."""

    def __init__(self, graph: Graph, width: int, layers: int) -> None:
        super().__init__()
        self.graph = graph
        self.encoder = RegionEncoder(graph, width, layers)
        per = graph.outputs()
        extra = {"region": 0, "unit": graph.unit_features, "link": width + graph.link_features}
        self.heads = nn.ModuleDict({axis: _head(width + extra[axis], width, n) for axis, n in per.items()})

    def forward(self, obs: Tensor) -> Tensor:
        """`[B, O]` → `[B, A]`."""
        h, links, units = self.encoder(obs, self.graph)
        return self.graph.flat({axis: head(self._seen(axis, h, links, units)) for axis, head in self.heads.items()})

    def _seen(self, axis: str, h: Tensor, links: Tensor, units: Tensor) -> Tensor:
        """What the head of an axis sees."""
        if axis == "unit":
            return torch.cat((self.graph.units.pick(h), units), -1)
        if axis == "link":
            return torch.cat((self.graph.sources.pick(h), self.graph.targets.pick(h), links), -1)
        return h


class RegionCritic(nn.Module):
    """Value `[B]`: the mean over regions of a value of each embedding."""

    def __init__(self, graph: Graph, width: int, layers: int) -> None:
        super().__init__()
        self.graph = graph
        self.encoder = RegionEncoder(graph, width, layers)
        self.head = _head(width, width, 1)

    def forward(self, obs: Tensor) -> Tensor:
        """`[B, O]` → `[B]`."""
        h, _, _ = self.encoder(obs, self.graph)
        return self.head(h).squeeze(-1).mean(-1)  # type: ignore[no-any-return]


def _head(inputs: int, width: int, outputs: int, gain: float = HEAD_GAIN) -> nn.Sequential:
    return nn.Sequential(dense(inputs, width), nn.SiLU(), dense(width, outputs, gain))


def mlp(inputs: int, width: int, layers: int, outputs: int, gain: float) -> nn.Sequential:
    """A flat network with `layers` normalised hidden layers."""
    sizes = [inputs] + [width] * layers
    hidden = [m for a, b in pairwise(sizes) for m in (dense(a, b), nn.LayerNorm(b), nn.SiLU())]
    return nn.Sequential(*hidden, dense(sizes[-1], outputs, gain))


class Constant(nn.Module):
    """The same bids whatever is observed."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.bid = nn.Parameter(torch.zeros(size))

    def forward(self, obs: Tensor) -> Tensor:
        """`[B, O]` → `[B, A]`."""
        return self.bid.expand(len(obs), -1)


class FlatCritic(nn.Module):
    """Value `[B]` by an MLP."""

    def __init__(self, obs_size: int, width: int, layers: int) -> None:
        super().__init__()
        self.net = mlp(obs_size, width, layers, 1, HEAD_GAIN)

    def forward(self, obs: Tensor) -> Tensor:
        """`[B, O]` → `[B]`."""
        return self.net(obs).squeeze(-1)  # type: ignore[no-any-return]


class Actor(nn.Module):
    """A Gaussian over bids `[B, A]` with a state-independent log standard deviation for every kind of bid."""

    def __init__(self, mean: nn.Module, kind_of: Tensor, log_std: float) -> None:
        super().__init__()
        self.mean = mean
        self.register_buffer("kind_of", kind_of, persistent=False)  # [A] which entry of log_std an action uses
        self.kind_of: Tensor
        self.log_std = nn.Parameter(torch.full((int(kind_of.max()) + 1,), log_std))

    def forward(self, obs: Tensor) -> tuple[Tensor, Tensor]:
        """`[B, O]` → mean `[B, A]` and log standard deviation `[A]` of the bid."""
        return self.mean(obs), self.log_std.index_select(0, self.kind_of)

    def act(self, obs: Tensor) -> Tensor:
        """The deterministic action `[B, A]` in −1…1."""
        return torch.tanh(self.mean(obs))


def log_prob(bid: Tensor, mean: Tensor, log_std: Tensor) -> Tensor:
    """`[B]`: `Σ_a −½·((bid − μ)/σ)² − log σ − ½·log 2π`, of the bid before `tanh`."""
    z = (bid - mean) * torch.exp(-log_std)
    return (-0.5 * z.square() - log_std - 0.5 * LOG_2PI).sum(-1)


def entropy(log_std: Tensor) -> Tensor:
    """Scalar: `Σ_a log σ + ½·(1 + log 2π)`."""
    return (log_std + 0.5 * (1.0 + LOG_2PI)).sum()


def build_actor(sim: Simulator, config: NetworkConfig) -> Actor:
    """An actor for the shapes of a scenario, on its device."""
    if config.kind == "mlp":
        body: nn.Module = mlp(sim.obs_size, config.width, config.layers, sim.action_size, HEAD_GAIN)
    elif config.kind == "hub":
        seen, decided = view_shape(sim)
        body = HubActor(sim, mlp(seen, config.width, config.layers, decided, HEAD_GAIN))
    elif config.kind == "constant":
        body = Constant(sim.action_size)
    else:
        body = RegionActor(build_graph(sim), config.width, config.layers)
    return Actor(body, bid_kinds(sim.decoder.parts), config.log_std).to(sim.params.device)


def build_critic(sim: Simulator, config: NetworkConfig) -> nn.Module:
    """A critic for the shapes of a scenario, on its device."""
    if config.kind != "region":
        return FlatCritic(sim.obs_size, config.width, config.layers).to(sim.params.device)
    return RegionCritic(build_graph(sim), config.width, config.layers).to(sim.params.device)
