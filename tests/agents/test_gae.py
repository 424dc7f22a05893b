"""Advantages and TD(λ) targets with numbers typed in."""

from __future__ import annotations

import torch

from greenhop_agents.learners.algorithms.shac import td_lambda
from greenhop_agents.learners.gae import gae

NO_END = torch.zeros(3, 1, dtype=torch.bool)


def column(*values: float) -> torch.Tensor:
    """`[h, 1]`."""
    return torch.tensor(values, dtype=torch.float32).unsqueeze(-1)


def test_gae_matches_a_calculation_by_hand() -> None:
    advantage, returns = gae(column(1, 2, 3), column(10, 20, 30), column(20, 30, 40), NO_END, 0.5, 0.5)
    # deltas: 1 + 10 − 10 = 1, 2 + 15 − 20 = −3, 3 + 20 − 30 = −7; each earlier advantage adds a quarter of the next
    torch.testing.assert_close(advantage, column(1 + 0.25 * (-3 + 0.25 * -7), -3 + 0.25 * -7, -7))
    torch.testing.assert_close(returns, advantage + column(10, 20, 30))


def test_gae_does_not_look_past_the_end_of_an_episode() -> None:
    ends = torch.tensor([[False], [True], [False]])
    advantage, _ = gae(column(1, 2, 3), column(10, 20, 30), column(20, 7, 40), ends, 0.5, 0.5)
    torch.testing.assert_close(advantage[1], torch.tensor([2 + 0.5 * 7 - 20.0]))


def test_truncation_bootstraps_from_the_value_of_the_final_obs() -> None:
    ends = torch.tensor([[False], [True], [False]])
    worth = [gae(column(0, 0, 0), column(0, 0, 0), column(0, v, 0), ends, 1.0, 1.0)[1][0] for v in (0.0, 8.0)]
    torch.testing.assert_close(worth[1] - worth[0], torch.tensor([8.0]))


def test_td_lambda_matches_a_calculation_by_hand() -> None:
    target = td_lambda(column(1, 2, 3), column(20, 30, 40), NO_END, 1.0, 0.5)
    # 3 + 40 = 43; 2 + (15 + 21.5) = 38.5; 1 + (10 + 19.25) = 30.25
    torch.testing.assert_close(target, column(30.25, 38.5, 43))


def test_td_lambda_of_one_is_the_sum_of_rewards_up_to_the_end() -> None:
    ends = torch.tensor([[False], [True], [False]])
    target = td_lambda(column(1, 2, 3), column(20, 0, 40), ends, 1.0, 1.0)
    torch.testing.assert_close(target, column(3, 2, 43))
