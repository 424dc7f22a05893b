"""Decoders by name."""

from __future__ import annotations

from collections.abc import Callable

from greenhop.episode.decoders.base import Decoder
from greenhop.episode.decoders.full import FullDecoder
from greenhop.episode.decoders.shadow_price import shadow_price
from greenhop.errors import ConfigError
from greenhop.physics.params import Params
from greenhop.scenario.config import DecoderConfig

DECODERS: dict[str, Callable[[Params, DecoderConfig], Decoder]] = {
    "shadow_price": shadow_price,
    "full": lambda params, _: FullDecoder(params),
}


def build_decoder(params: Params, config: DecoderConfig) -> Decoder:
    """The decoder registered under `config.name`."""
    if config.name not in DECODERS:
        raise ConfigError(f"decoder.name = {config.name!r} is unknown; allowed: {', '.join(sorted(DECODERS))}")
    return DECODERS[config.name](params, config)
