"""The ways to run a batch of environments that `greenhop speed` compares, and what each of them moves."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from importlib import import_module
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, NamedTuple

from omegaconf import DictConfig

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from greenhop.engines.differentiable import Step
    from greenhop.episode.simulator import Simulator

CHECKOUT = Path(__file__).resolve().parents[3]
TWINS = {"twin", "numba"}  # the NumPy and Numba steps of the tests
ONE = ("twin", "gym_torch")  # for a batch of one, on a CPU
WHOLE = ("eager", "compiled", "gym", "gym_torch", "graph", "eager_gradient", "gradient")
SYNCS = ("aten::_local_scalar_dense", "aten::item", "aten::nonzero", "aten::is_nonzero")


@dataclass
class Way:
    """One way to run a batch of one scenario."""

    scenario: str
    size: int  # links + regions × classes × slots
    batch: int
    mode: str
    device: str
    step: Callable[[], Any]
    env_steps: int  # of one call
    bytes_per_env_step: float  # read and written
    floor_bytes: float  # of them, what any implementation must: state, world row, action, results
    env_bytes: int  # one environment keeps or is given between steps: state, world row, action, results
    ops: int = 0  # torch operations of one call, views aside
    waits: int = 0  # times one call waits for the device; on a CPU, times it asks for the value of a tensor
    recompiles: int = 0  # machine codes made after the warm-up
    peak_mb: float = 0.0  # of memory so far, of the process or on the device
    seconds: list[float] = field(default_factory=list)  # per call, one number per repetition

    @property
    def env_steps_per_s(self) -> float:
        """Median over repetitions."""
        return self.env_steps / median(self.seconds)


def ways_of(config: DictConfig, name: str, sim: Simulator, batch: int, device: torch.device) -> list[Way]:
    """The ways asked for that this batch and device allow, warmed up."""
    return [prepare(config, name, sim, batch, mode) for mode in config.modes if possible(config, mode, batch, device)]


def twins_are_here() -> bool:
    """Whether this is a checkout, with the tests that the twins live in."""
    return (CHECKOUT / "tests" / "reference").is_dir()


def import_twin(name: str) -> Any:
    """A module of `tests.reference`."""
    if str(CHECKOUT) not in sys.path:
        sys.path.append(str(CHECKOUT))
    return import_module(f"tests.reference.{name}")


def possible(config: DictConfig, mode: str, batch: int, device: torch.device) -> bool:
    """Whether a mode makes sense for this batch on this device."""
    on_cpu = device.type == "cpu"
    if mode in TWINS and not twins_are_here():
        return False
    if mode == "graph":
        return not on_cpu
    if mode in (*ONE, "numba", "gym"):
        return on_cpu and (mode not in ONE or batch == 1)
    return mode in ("compiled", "gradient") or batch <= config.largest_eager


def prepare(config: DictConfig, name: str, sim: Simulator, batch: int, mode: str) -> Way:
    """Build one way, run it a few times and count what it does."""
    import torch

    from greenhop_agents.base.hardware import waits

    starts = torch.arange(batch, device=sim.params.device) * 37 % sim.bank.n_starts
    random = torch.Generator().manual_seed(0)
    action = (torch.rand(batch, sim.action_size, generator=random) * 2.0 - 1.0).to(sim.params.device)
    step, per_call = BUILD[mode](config, sim, starts, action)
    step()
    whole = mode in WHOLE  # decide, step, reward and observe
    floor = floor_bytes(sim, starts, action, whole)
    p, kept = sim.params, sizes(sim.begin(starts[:1])) + row_bytes(sim, whole=True) + sizes(action[:1])
    way = Way(name, p.size, batch, mode, p.device.type, step, batch * per_call, floor, floor, kept)
    counted = traffic(step)
    way.ops, way.waits = counted.ops, waits(step) if p.device.type == "cuda" else counted.syncs
    if mode in ("eager_step", "eager"):
        way.bytes_per_env_step = counted.moved / way.env_steps
    if mode in ("compiled", "graph"):
        way.bytes_per_env_step = floor + row_bytes(sim, whole=False)  # the row before the step and the one after it
    return way


Built = tuple[Callable[[], Any], int]


def build_eager(config: DictConfig, sim: Simulator, starts: Tensor, action: Tensor) -> Built:
    """The whole step of `TensorVectorEnv`."""
    from greenhop.gym.tensor_env import TensorVectorEnv

    env = TensorVectorEnv(sim, len(starts))
    env.reset(starts=starts)
    return endless(sim, env.step, lambda: env.reset(starts=starts), action), 1


def build_compiled(config: DictConfig, sim: Simulator, starts: Tensor, action: Tensor) -> Built:
    """The whole step, compiled."""
    from greenhop.engines.compiled import CompiledSteps

    engine = CompiledSteps(sim, len(starts))
    engine.begin(starts)
    return endless(sim, engine.step, lambda: engine.begin(starts), action), 1


def build_gym(config: DictConfig, sim: Simulator, starts: Tensor, action: Tensor) -> Built:
    """The Gymnasium environments as their users step them by default: checks, NumPy in and out, `info`."""
    from greenhop.gym.vector_env import HubVectorEnv

    if len(starts) == 1:
        return build_single(sim, starts, action, compile=None)
    env, options, chosen = HubVectorEnv(len(starts), sim=sim), {"start": starts.numpy()}, action.numpy()
    env.reset(options=options)
    return (lambda: env.step(chosen)), 1  # which restarts by itself


def build_single(sim: Simulator, starts: Tensor, action: Tensor, compile: bool | None) -> Built:
    """A single environment."""
    from greenhop.gym.env import HubEnv

    env, options, chosen = HubEnv(sim=sim, compile=compile), {"start": int(starts[0])}, action[0].numpy()
    env.reset(options=options)
    return endless(sim, lambda _: env.step(chosen), lambda: env.reset(options=options), action), 1


def build_gym_torch(config: DictConfig, sim: Simulator, starts: Tensor, action: Tensor) -> Built:
    """The single Gymnasium environment where there is no compiler."""
    return build_single(sim, starts, action, compile=False)


def build_eager_gradient(config: DictConfig, sim: Simulator, starts: Tensor, action: Tensor) -> Built:
    """The step and its derivative with respect to state and action, by torch's own."""
    from greenhop.engines.engine import tick

    return there_and_back(partial(tick, sim), sim, starts, action), 1


def build_gradient(config: DictConfig, sim: Simulator, starts: Tensor, action: Tensor) -> Built:
    """The same, compiled."""
    from greenhop.engines.differentiable import CompiledOutcome

    return there_and_back(CompiledOutcome(sim), sim, starts, action), 1


def there_and_back(step: Step, sim: Simulator, starts: Tensor, action: Tensor) -> Callable[[], Any]:
    """One step from one state, and back to what it began with from everything that it gave."""
    from greenhop.engines.differentiable import even_pull, pull_back

    carry = sim.begin(starts)
    pull = even_pull(sim, carry)
    return lambda: pull_back(step, carry, action, pull)


def endless(
    sim: Simulator, step: Callable[[Tensor], Any], begin: Callable[[], Any], action: Tensor, steps: int = 1
) -> Callable[[], Any]:
    """Calls of `steps` steps, beginning anew at the end of the episode."""
    t = 0

    def call() -> None:
        nonlocal t
        step(action)
        t += steps
        if t == sim.params.steps:
            begin()
            t = 0

    return call


def build_graph(config: DictConfig, sim: Simulator, starts: Tensor, action: Tensor) -> Built:
    """Several compiled steps in one CUDA graph."""
    from greenhop.engines.cuda_graph import GraphedSteps

    graphed = GraphedSteps(sim, len(starts), config.graph_steps)
    graphed.begin(starts)
    graphed.action.copy_(action.expand_as(graphed.action))
    steps = config.graph_steps
    return endless(sim, lambda _: graphed.replay(), lambda: graphed.begin(starts), action, steps), steps


def build_step(config: DictConfig, sim: Simulator, starts: Tensor, action: Tensor) -> Built:
    """The step alone, from one state with one plan."""
    carry = sim.begin(starts)
    plan = sim.decode(carry, action)
    return (lambda: sim.advance(carry, plan)), 1


def build_numba(config: DictConfig, sim: Simulator, starts: Tensor, action: Tensor) -> Built:
    """The same by the Numba twin."""
    twin, carry = import_twin("numba_twin"), sim.begin(starts)
    given = [twin.plain(x) for x in (carry.state, sim.decode(carry, action), sim.unpack(carry)[0])]
    params = twin.plain_params(sim.params)
    return (lambda: twin.numba_step(params, *given)), 1


def build_twin(config: DictConfig, sim: Simulator, starts: Tensor, action: Tensor) -> Built:
    """The same by the NumPy twin, which knows one environment."""
    twin, carry = import_twin("twin"), sim.begin(starts)
    given = [twin.unbatch(x) for x in (carry.state, sim.decode(carry, action), sim.unpack(carry)[0])]
    params = twin.from_params(sim.params)
    return (lambda: twin.twin_step(params, *given)), 1


BUILD: dict[str, Callable[[DictConfig, Simulator, Tensor, Tensor], Built]] = {
    "twin": build_twin,
    "numba": build_numba,
    "eager_step": build_step,
    "eager": build_eager,
    "compiled": build_compiled,
    "gym": build_gym,
    "gym_torch": build_gym_torch,
    "graph": build_graph,
    "eager_gradient": build_eager_gradient,
    "gradient": build_gradient,
}
MODES = tuple(BUILD)


def sizes(value: Any) -> int:
    """Bytes of all tensors in a nested value."""
    import torch
    from torch.utils._pytree import tree_leaves

    return sum(x.numel() * x.element_size() for x in tree_leaves(value) if isinstance(x, torch.Tensor))


def row_bytes(sim: Simulator, whole: bool) -> int:
    """Of one environment: the world row and, with the whole step, the observation."""
    return sim.bank.table.element_size() * (sim.bank.layout.width + (sim.obs_size if whole else 0))


def floor_bytes(sim: Simulator, starts: Tensor, action: Tensor, whole: bool) -> float:
    """Per env-step: state read and written, world row read, action or plan read, results written."""
    from greenhop.physics.rewards import REPORTED

    one = sim.begin(starts[:1])
    if whole:
        results = sim.bank.table.element_size() * (sim.obs_size + len(REPORTED) + 1)
        return 2.0 * sizes(one.state) + row_bytes(sim, False) + sizes(action[:1]) + results
    plan = sim.decode(one, action[:1])
    return 2.0 * sizes(one.state) + row_bytes(sim, False) + sizes(plan) + sizes(sim.advance(one, plan)[1].cost_cny)


class Traffic(NamedTuple):
    """What one call does, operation by operation."""

    ops: int  # views aside
    moved: int  # bytes read and written
    syncs: int  # times the host waits for a value of the device


def traffic(step: Callable[[], Any]) -> Traffic:
    """Count the operations of one call that is not compiled."""
    from torch.utils._python_dispatch import TorchDispatchMode

    class Count(TorchDispatchMode):  # type: ignore[no-untyped-call]
        ops, moved, syncs = 0, 0, 0

        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            out = func(*args, **(kwargs or {}))
            if not func.is_view:
                self.ops += 1
                self.moved += sizes(out) + (sizes(args) if "index_select" not in func.name() else sizes(out))
                self.syncs += func.name() in SYNCS
            return out

    with Count() as count:  # type: ignore[no-untyped-call]
        step()
    return Traffic(count.ops, count.moved, count.syncs)
