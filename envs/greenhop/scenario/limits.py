"""What numbers and names of a configuration can be at all: by the unit that ends a key, so that new keys have limits.

Limits are far from anything useful. They keep a slip of the keyboard from becoming hours of computing, a full memory or
a reward that is not finite (float32 ends at 3e38), and a name from becoming a path.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, NamedTuple

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationInfo, field_validator


class Limit(NamedTuple):
    """The smallest number above zero and the largest, their unit, and why nobody needs more."""

    least: float
    most: float
    unit: str
    reason: str


# by whole key or by the end of one; the longest that fits counts
LIMITS = {
    "_h": Limit(0.01, 8760.0, "h", "a world is a year long"),
    "_per_h": Limit(1e-4, 60.0, "per hour", "all of it within a minute"),
    "per_year": Limit(0.0, 8760.0, "per year", "once in every hour"),
    "_mw": Limit(1e-3, 1e5, "MW", "all data centres of the world draw about half of that"),  # IEA, 2024: 460 TWh a year
    "_ratio": Limit(1e-3, 100.0, "times the IT capacity", "no site has more"),
    "_km": Limit(1.0, 20_000.0, "km", "half of the way around the Earth"),
    "_ms": Limit(1e-3, 1e4, "ms", "light goes around the Earth fifty times in a fibre"),
    "_gbps": Limit(1e-3, 1e6, "Gbit/s", "more than any cable carries"),
    "gb_per_mwh": Limit(0.0, 1e6, "GB per MWh", "a petabyte for a thousand servers' hour"),  # at about 1 kW a server
    "_cny_per_gb": Limit(0.0, 1e4, "CNY/GB", "ten thousand times what transit costs"),  # about 1 CNY/GB: assumption
    "_cny_per_t": Limit(0.0, 1e5, "CNY/t", "a thousand times the price of the Chinese market"),  # about 100 CNY/t
    "_cny_per_mwh": Limit(0.0, 1e6, "CNY/MWh", "fifty times the value of lost load"),
    "width_cny_per_mwh": Limit(0.1, 1e6, "CNY/MWh", "fifty times the value of lost load"),
    "_cny_per_mwh_h": Limit(0.0, 1e6, "CNY/MWh per hour", "fifty times the value of lost load"),
    "_cny_per_ms_mwh": Limit(0.0, 1e6, "CNY/MWh per ms", "fifty times the value of lost load"),
    "restart_overhead": Limit(0.0, 10.0, "times the work", "nobody would move such work"),
    "mean_loading": Limit(0.01, 1.0, "share of the IT capacity", "servers cannot do more"),
    "efficiency_charge": Limit(0.05, 1.0, "share", "nothing is won by storing"),
    "efficiency_discharge": Limit(0.05, 1.0, "share", "nothing is won by storing"),
    "_scale": Limit(0.0, 100.0, "times", "errors drown what they are errors of"),
    "multiplier": Limit(1e-3, 100.0, "times", "no site can do more than its capacity"),
    "magnitude": Limit(0.0, 100.0, "times", "no site can do more than its capacity"),
    "speed": Limit(0.01, 100.0, "times", "one kind of servers is no more different from another"),
    "energy": Limit(0.01, 100.0, "times", "one kind of servers is no more different from another"),
    "train": Limit(1.0, 1000.0, "years", "more weather than was ever recorded"),
    "val": Limit(1.0, 1000.0, "years", "more weather than was ever recorded"),
    "test": Limit(1.0, 1000.0, "years", "more weather than was ever recorded"),
    "seed": Limit(0.0, 2.0**63 - 1.0, "", "random streams take 63 bits"),
    "_s": Limit(1e-3, 1e7, "s", "four months"),
    "workers": Limit(1.0, 4096.0, "processes", "no machine has as many cores"),
    "total_steps": Limit(1.0, 1e12, "steps", "eleven days at a million a second"),
    "episodes": Limit(1.0, 1e6, "episodes", "a hundred years have fewer hours"),
    "memory": Limit(1.0, 1e5, "episodes", "a decision looks at all of them"),
    "futures": Limit(1.0, 1000.0, "futures", "a window grows with them"),
    "_days": Limit(0.01, 1e6, "days", "seasons are a year apart"),
    "population": Limit(2.0, 1e6, "members", "they are computed together"),
    "num_envs": Limit(1.0, 1e6, "environments", "they are stepped together"),
    "group_size": Limit(1.0, 1e6, "environments", "they are stepped together"),
    "updates": Limit(1.0, 1e6, "updates", "no training has more"),
    "repeats": Limit(1.0, 1e4, "times", "the mean has long settled"),
    "at_most": Limit(1.0, 1e6, "episodes", "a hundred years have fewer hours"),
    "horizon": Limit(0.0, 35_040.0, "steps", "a year in quarters of an hour"),
    "width": Limit(1.0, 4096.0, "numbers", "weights grow with its square"),
    "_width": Limit(1.0, 4096.0, "numbers", "weights grow with its square"),
    "layers": Limit(0.0, 32.0, "layers", "gradients do not come through"),
    "log_std": Limit(0.0, 5.0, "", "bids end at 1"),
    "std": Limit(1e-6, 100.0, "", "weights are about 1"),
    "sigma": Limit(0.0, 100.0, "", "bids end at 1"),
    "action_noise": Limit(0.0, 100.0, "", "actions end at 1"),
    "noise": Limit(0.0, 100.0, "", "actions end at 1"),
    "carbon_kg": Limit(0.0, 1e13, "kg", "the carbon dioxide of a whole country's year"),
    "missed_mwh": Limit(0.0, 1e9, "MWh", "more than all data centres of the world use in a year"),
    "multiplier_rate": Limit(0.0, 1e3, "", "prices would only jump"),
    "learning_rate": Limit(0.0, 1.0, "", "nothing is learnt by larger steps"),
    "_learning_rate": Limit(0.0, 1.0, "", "nothing is learnt by larger steps"),
    "epochs": Limit(1.0, 1e4, "passes", "nothing new is seen"),
    "_epochs": Limit(1.0, 1e4, "passes", "nothing new is seen"),
    "batches": Limit(1.0, 1e5, "batches", "a batch holds at least a sample"),
    "_batches": Limit(1.0, 1e5, "batches", "a batch holds at least a sample"),
    "batch_size": Limit(1.0, 1e8, "samples", "memory"),
    "critic_warmup": Limit(0.0, 1e6, "updates", "no training has more"),
    "dagger_rounds": Limit(0.0, 1000.0, "rounds", "nothing new is seen"),
    "_coef": Limit(0.0, 1e3, "", "it would drown all else"),
    "target_kl": Limit(0.0, 10.0, "", "policies so far apart have nothing in common"),
    "_target_kl": Limit(0.0, 10.0, "", "policies so far apart have nothing in common"),
    "max_grad_norm": Limit(0.0, 1e6, "", "beyond any gradient"),
    "n_steps": Limit(1.0, 1e6, "steps", "they are kept in memory"),
    "n_epochs": Limit(1.0, 1e4, "passes", "nothing new is seen"),
    "clip_range": Limit(0.0, 10.0, "", "nothing would be clipped"),
    "buffer_size": Limit(1.0, 1e9, "steps", "they are kept in memory"),
    "learning_starts": Limit(0.0, 1e9, "steps", "no training is longer"),
    "train_freq": Limit(1.0, 1e6, "steps", "no training is longer"),
    "gradient_steps": Limit(0.0, 1e6, "updates", "no training is longer"),
}
_ENDS = sorted(LIMITS, key=len, reverse=True)


def limit_of(key: str) -> Limit | None:
    """The limit of a key, if its name says what it measures."""
    return next((LIMITS[end] for end in _ENDS if key == end or (end[0] == "_" and key.endswith(end))), None)


def check_number(key: str, value: float) -> None:
    """Refuse a number beyond the limit of its key.

    Raises:
        ValueError: what is allowed, and why.
    """
    limit = limit_of(key)
    if limit is None:
        return
    unit = f" {limit.unit}" if limit.unit else ""
    if value > limit.most:
        raise ValueError(f"at most {limit.most:g}{unit} ({limit.reason})")
    if 0.0 < value < limit.least:
        raise ValueError(f"at least {limit.least:g}{unit}")


class Limited(BaseModel):
    """Settings whose numbers have these limits, whose unknown keys are errors, and that do not change once checked."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    @field_validator("*")
    @classmethod
    def _of_this_world(cls, value: Any, info: ValidationInfo) -> Any:
        for number in value if isinstance(value, list) else [value]:
            if isinstance(number, int | float):
                check_number(str(info.field_name), number)
        return value


NAME = re.compile(r"\w[\w .+-]{0,63}")


def checked_name(name: str) -> str:
    """A name that may become the name of a file.

    Raises:
        ValueError: it could lead elsewhere, or is empty or endless.
    """
    if not NAME.fullmatch(name):
        raise ValueError("letters, digits, spaces and . + - _ only, a letter or digit first, no more than 64")
    return name


Name = Annotated[str, AfterValidator(checked_name)]
