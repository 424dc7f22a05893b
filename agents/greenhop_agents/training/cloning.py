"""Warm starts: behaviour cloning of a teacher *through the decoder*, before an agent learns from rewards.

Teachers decide plans, agents decide bids, and few plans have an exact bid. So nothing is inverted: the network learns
from what its bids make the simulator do, in the states the teacher came through,

    L(θ) = 1/N Σ_n ‖ y(step(s_n, decode(s_n, π_θ(o_n)))) − y(step(s_n, plan_n)) ‖²

where y is the work served by region and class, the work moved by link and class, what each store gives or takes, and
what each meter reads, all as shares of a site's IT capacity. Decoder and step are differentiable: every gradient is one
step of a large batch deep. Stores, links and pools clip inside `step`, so bids are not blamed for what has no effect.

Teachers that solve linear programmes know a cheaper way than rewards can tell in the same time. In `dagger_rounds` the
learner drives and the teacher says what it would do there (Ross, Gordon and Bagnell, AISTATS 2011).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from math import ceil
from typing import Annotated, Any, NamedTuple

import torch
from pydantic import Field, ValidationError
from torch import Generator, Tensor, nn

from greenhop.episode.carry import Carry, carry_of
from greenhop.episode.simulator import Simulator
from greenhop.errors import ConfigError
from greenhop.physics.params import Params
from greenhop.physics.state import Dispatch, Flows, Plan
from greenhop.scenario.config import Count, Positive, describe
from greenhop.scenario.limits import Limited
from greenhop_agents.base.progress import Update
from greenhop_agents.learners.networks import cosine
from greenhop_agents.policies.mpc import Mpc, MpcSettings, stack
from greenhop_agents.policies.policy import ActionPolicy, Policy
from greenhop_agents.scoring.bounds import episode_plans
from greenhop_agents.scoring.episodes import walk
from greenhop_agents.shelf.find import find_policy

OPTIMAL = "optimal"
MAX_GRAD_NORM = 1.0

Act = Callable[[Tensor], Tensor]


class WarmStart(Limited):
    """`agent.warm_start`: whom to imitate before learning, and for how long."""

    weights: str | None = None
    """Run folder or published policy of a native agent with the same network, whose weights come first; null: none."""
    teacher: str | None = None
    """Whom to imitate: `optimal` (clairvoyant plans) or what `policy=` takes; null: nobody."""
    episodes: Count = 64
    """Training episodes that the teacher shows in a round."""
    epochs: Count = 40
    """Passes over all states so far, after each round."""
    batch_size: Count = 512
    """States of a gradient step."""
    learning_rate: Positive = 3e-3
    """Step size of Adam at the start; it falls to zero along half a cosine."""
    dagger_rounds: Annotated[int, Field(ge=0)] = 0
    """Further rounds, in which the learner drives and the teacher corrects."""
    workers: Count = 1
    """Processes that solve optimal plans."""


def parse_warm_start(data: Mapping[str, Any] | None) -> WarmStart:
    """Check the `warm_start` block of an agent's configuration.

    Raises:
        ConfigError: unknown key or impossible value.
    """
    try:
        return WarmStart.model_validate(dict(data or {}))
    except ValidationError as error:
        raise ConfigError(describe(error, "agent.warm_start")) from None


class Demonstrations(NamedTuple):
    """States, and what the teacher brought about in each."""

    carry: Carry  # of a batch of N
    goal: Tensor  # [N, Y]

    def at(self, index: Tensor) -> Demonstrations:
        """Those at positions `index` `[n]`."""
        carry = carry_of(lambda x: x.index_select(0, index), self.carry)
        return Demonstrations(carry, self.goal.index_select(0, index))


@dataclass
class Written:
    """A policy that reads the plans of known episodes, one for each environment of the batch."""

    name: str
    plans: list[Plan]  # each [T, …]

    def reset(self, sim: Simulator) -> None:
        """Put the plans one after the other."""
        self._steps, self._all = sim.params.steps, stack(self.plans, sim.params.demand_fee_cny_per_mw)

    def decide(self, sim: Simulator, carry: Carry) -> Plan:
        """The present step of each plan."""
        t = carry.state.t
        here = torch.arange(len(t), device=t.device) * self._steps + t
        parts = {name: x.index_select(0, here) for name, x in self._all._asdict().items() if name != "dispatch"}
        assert self._all.dispatch is not None
        return Plan(**parts, dispatch=Dispatch(*(x.index_select(0, here) for x in self._all.dispatch)))


def outcome(p: Params, flows: Flows) -> Tensor:
    """`[B, Y]` what a step did, every energy as a share of its site's (a link's smaller site's) hourly IT capacity."""
    site = p.capacity_mwh.sum(-1)
    smaller = torch.minimum(site[p.link_source], site[p.link_target])
    parts = (
        flows.serve_mwh.sum(-1) / site.unsqueeze(-1),
        flows.migrate_mwh.sum(-1) / smaller.unsqueeze(-1),
        flows.serve_online_mwh / site.unsqueeze(-1),
        (flows.charge_mwh - flows.discharge_mwh) / site[p.unit_region],
        (flows.grid_mwh + flows.ppa_mwh) / site,
    )
    return torch.cat([x.flatten(1) for x in parts], dim=-1)


def demonstrate(sim: Simulator, teacher: Policy, starts: Tensor, driver: Policy | None = None) -> Demonstrations:
    """What `teacher` does in all states of episodes from `starts` `[E]`, as `driver` (else it) goes through them."""
    parts: list[Demonstrations] = []
    if driver is not None:
        teacher.reset(sim)
    for carry, _, flows in walk(sim, driver or teacher, starts):
        told = flows if driver is None else sim.advance(carry, teacher.decide(sim, carry))[1]
        parts.append(Demonstrations(carry, outcome(sim.params, told)))
    return _joined(parts)


def _joined(parts: list[Demonstrations]) -> Demonstrations:
    carry = carry_of(lambda *same: torch.cat(same), *(d.carry for d in parts))
    return Demonstrations(carry, torch.cat([d.goal for d in parts]))


def distance(sim: Simulator, act: Act, data: Demonstrations) -> Tensor:
    """Scalar: mean squared distance between what the actions of `act` bring about and what the teacher did."""
    _, flows = sim.act(data.carry, act(sim.observe(data.carry)))
    return (outcome(sim.params, flows) - data.goal).square().sum(-1).mean()


def fit(
    sim: Simulator,
    act: Act,
    parameters: Iterable[nn.Parameter],
    data: Demonstrations,
    config: WarmStart,
    generator: Generator,
    told: Callable[[int, float], None],
) -> None:
    """Minimise `distance` over shuffled batches; `told(epoch, loss)` after every epoch."""
    trained = [p for p in parameters if p.requires_grad]
    optimiser = torch.optim.Adam(trained, config.learning_rate)
    count = len(data.goal)
    for epoch in range(config.epochs):
        for group in optimiser.param_groups:
            group["lr"] = cosine(config.learning_rate, 0.0, epoch / config.epochs)
        total = data.goal.new_zeros(())
        order = torch.randperm(count, generator=generator, device=generator.device)
        for index in order.chunk(ceil(count / config.batch_size)):
            loss = distance(sim, act, data.at(index))
            optimiser.zero_grad(set_to_none=True)
            torch.autograd.backward(loss)
            nn.utils.clip_grad_norm_(trained, MAX_GRAD_NORM)
            optimiser.step()
            total += loss.detach() * len(index) / count
        told(epoch + 1, float(total))


def find_teacher(name: str, sim: Simulator) -> Policy:
    """The teacher called `name`, able to decide in any state.

    `optimal` plans from every state to the end of its episode with perfect foresight.

    Raises:
        ConfigError: no policy of that name.
    """
    if name != OPTIMAL:
        return find_policy(name, sim)
    hours = ceil(sim.params.steps * sim.params.dt_h)
    return Mpc(OPTIMAL, MpcSettings(horizon_h=hours), perfect=True)


def warm_start(
    sim: Simulator, act: Act, parameters: Iterable[nn.Parameter], config: WarmStart, seed: int, update: Update
) -> list[float]:
    """Train `parameters`, on which `act` (`[B, O]` → `[B, A]`) depends, to do what the teacher does.

    Every seed is shown the same episodes, so that plans are solved once; `seed` orders the states they are fitted in.

    `update(done, total, note)` is told of every step of the way.

    Returns:
        The loss of every epoch.

    Raises:
        ConfigError: an unknown teacher, or more episodes than the split has starts.
        SolverError: a plan that could not be solved.
    """
    assert config.teacher is not None
    rounds, trained = config.dagger_rounds + 1, list(parameters)
    if config.episodes * rounds > sim.bank.n_starts:
        raise ConfigError(
            f"agent.warm_start: {config.episodes} episodes in {rounds} rounds are more than the {sim.bank.n_starts} "
            f"starts of split {sim.bank.split}"
        )
    teacher = find_teacher(config.teacher, sim)
    generator = Generator(sim.params.device).manual_seed(seed)
    shuffled = torch.randperm(sim.bank.n_starts, generator=Generator().manual_seed(0)).to(generator.device)
    learner = ActionPolicy("learner", act)
    losses: list[float] = []
    data: list[Demonstrations] = []
    for number in range(rounds):
        starts = shuffled[number * config.episodes : (number + 1) * config.episodes]
        title = f"cloning {config.teacher}" + (f", round {number + 1}/{rounds}" if rounds > 1 else "")
        update(0, 1, title)
        driver = None if number == 0 else learner
        first = _optimal(sim, starts, config, update) if number == 0 and config.teacher == OPTIMAL else teacher
        data.append(demonstrate(sim, first, starts, driver))

        def told(epoch: int, loss: float, title: str = title) -> None:
            losses.append(loss)
            update(epoch, config.epochs, f"{title}: loss {loss:.4f}")

        fit(sim, act, trained, _joined(data), config, generator, told)
    return losses


def _optimal(sim: Simulator, starts: Tensor, config: WarmStart, update: Update) -> Written:
    """One programme for each episode says what is optimal in all the states it comes through."""

    def told(done: int, total: int) -> None:
        update(done, total, "optimal plans")

    return Written(OPTIMAL, episode_plans(sim, starts.tolist(), workers=config.workers, progress=told))
