"""What crosses the border of a Gymnasium environment: spaces, actions and options that are checked, and `info`."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from copy import deepcopy
from operator import index
from typing import TYPE_CHECKING, Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from greenhop.episode.observations import OBS_LIMIT
from greenhop.errors import ActionError, ConfigError

if TYPE_CHECKING:
    from greenhop.episode.simulator import Simulator

HOURS_PER_DAY = 24
UNCHANGING = frozenset((np.float32, np.float64, np.int64, bool, int, float, str))  # whose deep copy is the value itself


class Info(dict[str, Any]):
    """`info` of one environment: a `dict` whose deep copies share the NumPy scalars in it, which nobody can change.

    Stable-Baselines3 copies it deeply in every step; value by value that would take longer than the step. What wrappers
    put beside the scalars (arrays, dicts) is copied as ever.
    """

    def __deepcopy__(self, memo: dict[int, Any]) -> Info:
        copied = memo[id(self)] = Info(self)
        copied.update({name: deepcopy(x, memo) for name, x in self.items() if type(x) not in UNCHANGING})
        return copied


def spaces(sim: Simulator) -> tuple[gym.Space[Any], gym.Space[Any]]:
    """Observation and action space of one environment."""
    return (
        gym.spaces.Box(-OBS_LIMIT, OBS_LIMIT, (sim.obs_size,), np.float32),
        gym.spaces.Box(-1.0, 1.0, (sim.action_size,), np.float32),
    )


def checked_action(action: Any, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """A float32 array of the right shape, clipped to −1…1.

    Raises:
        ActionError: wrong shape, no numbers, NaN or infinity, or a tensor that NumPy cannot read.
    """
    try:
        array = np.asarray(action)
    except (
        TypeError,
        ValueError,
        RuntimeError,
    ) as error:  # tensors with a gradient, in bfloat16, on a GPU; ragged lists
        raise ActionError(f"action cannot be read as an array: {' '.join(str(error).split())}") from None
    if array.shape != shape:
        raise ActionError(f"action has shape {array.shape}, allowed is {shape}")
    if array.dtype.kind not in "fiub":
        raise ActionError(f"action holds {array.dtype}, allowed are real numbers")
    if not np.logical_and.reduce(np.isfinite(array), axis=None):
        raise ActionError(
            f"action holds {np.count_nonzero(~np.isfinite(array))} NaN or infinite values of {array.size}"
        )
    clipped: NDArray[np.float32] = np.minimum(np.maximum(array, -1.0), 1.0).astype(np.float32, copy=False)
    return clipped  # np.clip is slower


def checked_options(options: Any, allowed: tuple[str, ...]) -> Mapping[str, Any]:
    """The options of `reset`, all of them known.

    Raises:
        ConfigError: something else.
    """
    if options is None:
        return {}
    if not isinstance(options, Mapping):
        raise ConfigError(f"options = {options!r}; allowed: a mapping with {', '.join(allowed)}")
    unknown = [name for name in options if name not in allowed]
    if unknown:
        raise ConfigError(f"options holds {', '.join(map(repr, unknown))}; allowed: {', '.join(allowed)}")
    return options


def checked_start(given: Any, num_envs: int, sim: Simulator) -> NDArray[np.int64] | None:
    """`[num_envs]` starts, one integer for all or one for each; None where none is given.

    Raises:
        ConfigError: anything but integers, too many or too few of them, or starts that do not exist.
    """
    if given is None:
        return None
    try:
        array = np.asarray(given)
    except (TypeError, ValueError, RuntimeError):
        array = np.asarray(None)
    whole = array.dtype.kind in "iu" and array.shape in ((), (num_envs,))
    if not whole or array.min() < 0 or array.max() >= sim.bank.n_starts:
        each = "" if num_envs == 1 else f" or {num_envs}"
        raise ConfigError(f"options['start'] = {given!r}; allowed: one{each} of the integers 0…{sim.bank.n_starts - 1}")
    return np.broadcast_to(array.astype(np.int64), (num_envs,)).copy()


def checked_seeds(given: Any) -> int | list[int | None] | None:
    """Seeds as they were asked for: one for all, one for each environment, or None.

    Raises:
        ConfigError: no whole numbers from 0.
    """
    if given is None:
        return None
    with suppress(TypeError, ValueError):  # ragged lists have no number of axes
        if np.ndim(given) == 0 and index(given) >= 0:
            return index(given)
    with suppress(TypeError):
        seeds = [s if s is None else index(s) for s in given]
        if all(s is None or s >= 0 for s in seeds):
            return seeds
    raise ConfigError(f"seed = {given!r}; allowed: whole numbers from 0, one for all or one for each environment")


def opening_info(sim: Simulator, start: NDArray[np.int64]) -> dict[str, NDArray[np.int64]]:
    """Which episodes these are: `[B]` number of the start, year of the split, and day of that year from 1."""
    row = sim.bank.starts.cpu().numpy()[start]
    year, within = np.divmod(row, sim.params.rows_per_year)
    return {
        "episode_start": start.copy(),
        "year": np.asarray(sim.bank.year_ids, dtype=np.int64)[year],
        "day_of_year": (within * sim.params.dt_h).astype(np.int64) // HOURS_PER_DAY + 1,
    }
