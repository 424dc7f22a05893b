"""Offline datasets: what is written is read back, and the recovered environment lives the same episodes."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from greenhop.episode.decoders.full import FullDecoder
from greenhop.episode.simulator import build_simulator
from greenhop.errors import ConfigError
from greenhop_agents.policies.mpc import Mpc, MpcSettings
from greenhop_agents.policies.rules import PriceFollow
from greenhop_agents.studies.datasets import CollectConfig, at_root, collect, references, write_dataset

needs_minari = pytest.mark.skipif(find_spec("minari") is None, reason="Minari is not installed (extra `offline`)")
SHORT = ["episode.length_h=8"]


def config(**changes: Any) -> CollectConfig:
    given = {"scenario_name": "pair2", "overrides": SHORT, "policies": ["price_follow"], "episodes": 3, "noise": 0.2}
    given |= {"split": "test", "dataset": "greenhop/pair2/test-v0", "seed": 0, "author": "tests", "email": "none"}
    return CollectConfig.model_validate({**given, **changes})


def test_a_plan_has_an_action_in_the_space_of_shares() -> None:
    """Computing and stores do what the plan said; the rest is the decoder's."""
    sim = build_simulator("pair2", "test", overrides=[*SHORT, "decoder.name=full"], year_ids=[0], dtype=torch.float64)
    bids = build_simulator("pair2", "test", overrides=SHORT, year_ids=[0], dtype=torch.float64)
    assert isinstance(sim.decoder, FullDecoder)
    for policy in (PriceFollow(), Mpc(settings=MpcSettings(horizon_h=6))):
        policy.reset(bids)
        carry = sim.begin(torch.tensor([5]))
        for _ in range(sim.params.steps):
            row, _ = sim.unpack(carry)
            plan = policy.decide(bids, carry)
            action = sim.decoder.action_of(plan, carry.state, row)
            assert action.abs().max() <= 1.0
            _, wanted = sim.advance(carry, plan._replace(dispatch=None))
            carry, done = sim.act(carry, action)
            for name in ("serve_mwh", "migrate_mwh", "route_mwh", "charge_mwh", "discharge_mwh", "alternative_mwh"):
                torch.testing.assert_close(getattr(done, name), getattr(wanted, name), rtol=1e-6, atol=1e-4)


def test_episodes_of_several_policies_are_recorded_and_none_twice() -> None:
    parts = collect(config(policies=["price_follow", "price_follow"], episodes=5))
    starts = np.concatenate([part.start for part in parts])
    assert len(set(starts.tolist())) == 5
    for part in parts:
        count, steps = part.reward.shape
        assert part.obs.shape[:2] == (count, steps + 1)
        assert part.action.std() == pytest.approx(0.2, rel=0.1), "nothing but noise about the zero action"


def test_a_planner_has_no_bids_to_record() -> None:
    with pytest.raises(ConfigError, match=r"decoder\.name=full"):
        collect(config(policies=["mpc"]))


@needs_minari
@pytest.mark.parametrize("space", [[], ["decoder.name=full"]], ids=["bids", "shares"])
def test_a_dataset_is_read_back_and_its_environment_lives_the_same_episodes(space: list[str], tmp_path: Path) -> None:
    import minari

    settings = config(overrides=[*SHORT, *space], policies=["price_follow"])
    recorded = collect(settings)
    scores = references(settings, recorded[0].start.tolist())
    assert scores[0] < scores[1]
    write_dataset(settings, recorded, scores, tmp_path)
    with at_root(tmp_path):
        data = minari.load_dataset(settings.dataset)
        env = data.recover_environment()
        assert data.total_episodes == 3
        for number, episode in enumerate(data.iterate_episodes()):
            np.testing.assert_array_equal(episode.actions, recorded[0].action[number])
            start = data.storage.get_episode_metadata([number])
            options = next(iter(start))["options"]
            obs, _ = env.reset(options={"start": int(options["start"])})
            for t, action in enumerate(episode.actions):
                np.testing.assert_allclose(obs, episode.observations[t], rtol=1e-4, atol=1e-4)
                obs, reward, terminated, _, _ = env.step(action)
                assert reward == pytest.approx(float(episode.rewards[t]), rel=1e-4, abs=1e-4)
                assert terminated == bool(episode.terminations[t])
        normalised = minari.get_normalized_score(data, np.array([scores[0], scores[1]]))
        assert normalised.tolist() == [0.0, 1.0]
    with pytest.raises(ConfigError, match="already exists"):
        write_dataset(settings, recorded, scores, tmp_path)
