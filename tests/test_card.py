"""The environment card is what the code says today."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from greenhop import ENV_IDS
from greenhop.cards import environment as card
from greenhop.cards.effects import DAYS, effect, effects, example, held
from greenhop.cards.environment import ENDING, described, environment_card, field_notes
from greenhop.gym.env import HubEnv
from greenhop.physics.state import COST_TERMS, Plan, Row, State
from greenhop.world.layout import Seen

PAGE = Path(__file__).resolve().parents[1] / "docs" / "environment.md"


@pytest.fixture(scope="module")
def page() -> str:
    return environment_card()


def test_the_environment_card_is_what_the_code_says(page: str) -> None:
    assert PAGE.read_text(encoding="utf-8") == page, "run: python scripts/environment_card.py"


def test_the_card_lists_every_registered_environment_with_its_sizes(page: str) -> None:
    assert all(f"| `{env_id}` | `{name}` |" in page for env_id, name in ENV_IDS.items())
    s = described("pair2").shapes
    (row,) = [line for line in page.splitlines() if line.startswith("| `Pair2-v1`")]
    regions, observed = s.observer.parts["region"], s.obs_size
    assert f"| {s.params.steps} | 1 | {regions[0]} |" in row
    assert f"| {observed} |" in row


@pytest.mark.parametrize("path", ["README.md", "docs/agent.md", "docs/environment.md"])
def test_pages_say_the_same_about_the_end_of_an_episode(path: str) -> None:
    text = (PAGE.parents[1] / path).read_text(encoding="utf-8")
    assert " ".join(ENDING.split()) in " ".join(text.split())


@pytest.mark.parametrize(("notes", "name"), [("OBSERVED", "soc"), ("FEATURES", "peak"), ("COSTS", "demand")])
def test_nothing_is_added_without_a_sentence(monkeypatch: pytest.MonkeyPatch, notes: str, name: str) -> None:
    known = getattr(card, notes)
    monkeypatch.setattr(card, notes, {key: value for key, value in known.items() if key != name})
    with pytest.raises(KeyError, match=name):
        environment_card()


def test_every_field_of_state_and_row_says_its_shape_and_meaning_or_unit() -> None:
    for fields in (State, Row):
        notes = field_notes(fields)
        assert [name for name, _, _ in notes] == list(fields._fields)
        assert all(shape.startswith("[B") for _, shape, _ in notes)


def test_what_the_card_says_about_bids_follows_the_decoder() -> None:
    """A decoder that is deaf to a block shows no effect of it, and the present one hears every block."""
    sim = example()
    heard = list(effects(sim))
    assert [block for block, _, _ in heard[1::2]] == list(sim.decoder.parts)
    assert all(effect != heard[0][2] for _, _, effect in heard[1:])

    class Deaf:
        parts = sim.decoder.parts

        def __call__(self, action: Tensor, state: State, row: Row, seen: Seen) -> Plan:
            return sim.decoder(torch.zeros_like(action), state, row, seen)

    assert {effect for _, _, effect in effects(replace(sim, decoder=Deaf()))} == {heard[0][2]}


def test_the_effect_of_a_bid_is_what_the_gymnasium_environment_pays() -> None:
    sim = example()
    action = held(sim, "time", 1.0)
    env, costs = HubEnv(sim=sim, compile=False), []
    for start in sim.bank.spread(DAYS):
        _, info = env.reset(options={"start": int(start)})
        total = 0.0
        for _ in range(sim.params.steps):
            _, _, _, _, info = env.step(action[0].numpy())
            total += sum(float(info[f"{term}_cny"]) for term in COST_TERMS)
        costs.append(total)
    assert effect(sim, action).cost_cny == pytest.approx(sum(costs) / DAYS, rel=1e-4)
