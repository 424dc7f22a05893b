"""Decoders by name."""

from __future__ import annotations

from collections.abc import Callable

from greenhop.episode.decoders.base import Decoder
from greenhop.episode.decoders.full import FullDecoder
from greenhop.episode.decoders.shadow_price import shadow_price
from greenhop.errors import ConfigError
from greenhop.physics.params import Params
from greenhop.scenario.config import ScenarioConfig

DECODERS: dict[str, Callable[[Params, ScenarioConfig], Decoder]] = {
    "shadow_price": lambda params, scenario: shadow_price(params, scenario.decoder, scenario.forecast.leads_h),
    "full": lambda params, _: FullDecoder(params),
}


def build_decoder(params: Params, scenario: ScenarioConfig) -> Decoder:
    """The decoder registered under the name that the scenario gives.

    Raises:
        ConfigError: no decoder of that name.
    """
    config = scenario.decoder
    if config.name not in DECODERS:
        raise ConfigError(f"decoder.name = {config.name!r} is unknown; allowed: {', '.join(sorted(DECODERS))}")
    return DECODERS[config.name](params, scenario)
