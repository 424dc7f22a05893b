"""Many environments on one device, tensors in and out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from greenhop.engines.engine import present
from greenhop.engines.find import build_engine
from greenhop.engines.price_follow import price_follow_rewards
from greenhop.engines.torch_steps import TorchSteps
from greenhop.episode.carry import Carry, random_start
from greenhop.errors import ActionError, ConfigError
from greenhop.gym.pay import Baseline, Pay
from greenhop.physics.rewards import RewardKind

if TYPE_CHECKING:
    from greenhop.episode.simulator import Simulator

SEED_BITS = 32  # that starts follow from; longer seeds are folded


class TensorVectorEnv:
    """`num_envs` environments on one device; the caller keeps everything as tensors.

    Episodes end by time alone, and the host knows when: no step synchronises with the device. An end is a termination
    where the last step prices what it leaves (`sim.params.prices_end`), else a truncation.

    Episode n of an environment starts at a hash of (its seed, n). Seeded `s`, group g (environment g, where groups have
    one member) has seed `s + g`, whatever `num_envs` is: environments of a group live the same episodes.

    Args:
        sim: the simulator.
        num_envs: how many environments.
        seed: of the first episodes.
        compile: the step as machine code, which takes some seconds to make the first time; None where that is possible
            on a CPU. No gradient flows through it.
        group_size: environments that live the same episodes; divides `num_envs`.
        reward: `bill` or `accrual`, see `Pay`.
        baseline: `none`, `group` or `price_follow`, see `Pay`.
        threads: of machine code on a CPU, which change no bit; None for one a core, see `greenhop.compiler.threads`.

    Raises:
        ConfigError: a size or word that is not allowed.
    """

    def __init__(
        self,
        sim: Simulator,
        num_envs: int,
        seed: int = 0,
        *,
        compile: bool | None = False,
        group_size: int = 1,
        reward: RewardKind = "accrual",
        baseline: Baseline = "none",
        threads: int | None = None,
    ) -> None:
        _check_size("num_envs", num_envs)
        _check_size("group_size", group_size)
        if num_envs % group_size:
            raise ConfigError(f"num_envs = {num_envs} must be a multiple of group_size = {group_size}")
        self.sim, self.num_envs, self.group_size = sim, int(num_envs), int(group_size)
        self.pay = Pay(sim, price_follow_rewards, reward, baseline, self.group_size)
        self.engine = build_engine(sim, self.num_envs, compile, threads)
        self._clock = 0
        self._began, self._seed, self._episode = np.zeros((3, self.num_envs), dtype=np.int64)
        self.starts = np.zeros(self.num_envs, dtype=np.int64)  # [B] of the running episodes, in `sim.bank.starts`
        self.reset(seed)

    @property
    def t(self) -> NDArray[np.int64]:
        """`[B]` steps of the running episodes so far."""
        return self._clock - self._began

    @property
    def carry(self) -> Carry:
        """The running episodes, batch first, without the past that late telemetry shows; no later step changes it."""
        return present(self.sim.bank.table, self.engine.state)

    def reset(self, seed: int | Sequence[int] | None = None, starts: Tensor | None = None) -> Tensor:
        """Begin new episodes everywhere, at `starts` `[B]` or as the seed says; `[B, O]` observations.

        Args:
            seed: one for all, or one for each environment; None goes on with the next episodes.
            starts: `[B]` int64 numbers of starts, the same within a group.

        Raises:
            ConfigError: too many or too few seeds or starts, or several in a group.
        """
        self._began[:] = self._clock
        self._first_end = self._clock + self.sim.params.steps
        return self.engine.begin(self._first(np.ones(self.num_envs, dtype=bool), starts, seed))

    def restart(
        self, mask: NDArray[np.bool_], starts: Tensor | None = None, seed: int | Sequence[int] | None = None
    ) -> Tensor:
        """The same where `mask` `[B]` while the others go on; `[B, O]` observations of all environments.

        Raises:
            ConfigError: as `reset`, or some of a group but not all of it.
        """
        groups = mask.reshape(-1, self.group_size)
        if (groups != groups[:, :1]).any():
            raise ConfigError(f"groups of {self.group_size} live the same episodes: restart whole groups")
        first = self._first(mask, starts, seed)
        self._began[mask] = self._clock
        self._first_end = int(self._began.min()) + self.sim.params.steps
        return self.engine.restart(np.flatnonzero(mask), first)

    def step(self, action: Tensor) -> tuple[Tensor, Tensor, NDArray[np.bool_], Tensor]:
        """One step with `[B, A]` actions, in which NaN is not looked for.

        Returns:
            `[B, O]` observations after the step (before any restart), `[B]` rewards, `[B]` which episodes ended (on the
            host), and `[B, len(REPORTED)]` cost terms and quantities.

        Raises:
            ActionError: wrong shape, type or device, or an episode ended and was not restarted.
        """
        self._check(action)
        place, ended = self._place(), self._count()
        done = self.engine.step(action)
        return done.obs, self.pay.tensor(done, place), ended, done.reported

    def step_arrays(
        self, action: NDArray[np.float32]
    ) -> tuple[NDArray[Any], NDArray[Any], NDArray[np.bool_], NDArray[Any]]:
        """The same from and to NumPy; what it returns may be overwritten by the next step."""
        place, ended = self._place(), self._count()
        done = self.engine.step_arrays(action)
        return done.obs, self.pay.array(done, place), ended, done.reported

    def _check(self, action: Tensor) -> None:
        table = self.sim.bank.table
        shape = (self.num_envs, self.sim.action_size)
        if action.shape != shape or action.dtype != table.dtype or action.device != table.device:
            raise ActionError(
                f"action is a tensor {tuple(action.shape)} of {action.dtype} on {action.device}, allowed is {shape} of "
                f"{table.dtype} on {table.device}"
            )
        if action.requires_grad and torch.is_grad_enabled() and not isinstance(self.engine, TorchSteps):
            raise ActionError("no gradient flows through machine code: detach the action, or make it compile=False")

    def _place(self) -> NDArray[np.int64] | None:
        """`[B]` where the present steps stand in the table of the baseline, if it has one."""
        if self.pay.baseline != "price_follow":
            return None
        steps = self.sim.params.steps
        return self.starts * steps + np.minimum(self.t, steps - 1)  # one step too many is Gymnasium's NEXT_STEP

    def _count(self) -> NDArray[np.bool_]:
        """Count one step; `[B]` whose episodes end with it."""
        self._clock += 1
        if self._clock < self._first_end:
            return np.zeros(self.num_envs, dtype=bool)
        if self._clock > self._first_end + 1:  # one step too many is Gymnasium's NEXT_STEP
            self._clock -= 1
            late = int(np.argmin(self._began))
            raise ActionError(f"the episode of environment {late} has ended; restart it before stepping on")
        ended: NDArray[np.bool_] = self.t == self.sim.params.steps
        return ended

    def _first(self, mask: NDArray[np.bool_], given: Tensor | None, seed: int | Sequence[int] | None) -> Tensor:
        """`[B]` starts of the episodes that begin where `mask`, given or drawn."""
        if seed is not None:
            self._seed = np.where(mask, self._seeds(seed), self._seed)
            self._episode[mask] = 0
        if given is None:
            starts = random_start(self._seed, np.zeros_like(self._seed), self._episode, self.sim.bank.n_starts)
            self._episode += mask
        else:
            starts = self._alike(given.cpu().numpy(), "starts")
        self.starts = np.where(mask, starts, self.starts)
        return torch.from_numpy(starts).to(self.sim.params.device) if given is None else given

    def _seeds(self, seed: int | Sequence[int]) -> NDArray[np.int64]:
        """`[B]` one seed for each environment, the same within a group."""
        if isinstance(seed, int | np.integer):
            each = [int(seed) + env // self.group_size for env in range(self.num_envs)]
        else:
            each = [int(s) for s in seed]
        folded = [(s ^ (s >> SEED_BITS)) & ((1 << SEED_BITS) - 1) for s in each]
        return self._alike(np.array(folded, dtype=np.int64), "seeds")

    def _alike(self, values: NDArray[np.int64], name: str) -> NDArray[np.int64]:
        if values.shape != (self.num_envs,):
            raise ConfigError(f"{values.size} {name} are given for {self.num_envs} environments")
        groups = values.reshape(-1, self.group_size)
        if (groups != groups[:, :1]).any():
            raise ConfigError(f"{name} must be alike within groups of {self.group_size}, which live the same episodes")
        return values


def _check_size(name: str, size: Any) -> None:
    if isinstance(size, bool) or not isinstance(size, int | np.integer) or size < 1:
        raise ConfigError(f"{name} = {size!r}; allowed: whole numbers from 1")
