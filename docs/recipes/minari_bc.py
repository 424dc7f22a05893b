"""Behaviour cloning from an offline dataset: pip install 'greenhop[offline]', then

    greenhop collect scenario_name=pair2 dataset=greenhop/pair2/mixed-v0 output=runs/datasets
    python docs/recipes/minari_bc.py --root runs/datasets --dataset greenhop/pair2/mixed-v0

Every episode counts by how good it is: the better half of them is cloned (`--best`), which is the simplest way to get
more out of a mixed dataset than its mean.
"""

from __future__ import annotations

import argparse
import os

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from greenhop_agents import score


def parse_args() -> argparse.Namespace:
    """Settings."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", default="runs/datasets", help="folder of datasets")
    parser.add_argument("--dataset", default="greenhop/pair2/mixed-v0")
    parser.add_argument("--best", type=float, default=0.5, help="share of the episodes that is cloned, the best ones")
    parser.add_argument("--epochs", type=int, default=200)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--hidden", type=int, default=128)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--eval-episodes", type=int, default=8)
    return parser.parse_args()


def main() -> None:
    """Clone, then score on held-out episodes."""
    args = parse_args()
    os.environ["MINARI_DATASETS_PATH"] = args.root
    import minari  # reads where datasets are

    torch.manual_seed(args.seed)
    torch.set_num_threads(1)
    data = minari.load_dataset(args.dataset)
    returns = np.array([episode.rewards.sum() for episode in data.iterate_episodes()])
    normalised = minari.get_normalized_score(data, returns)
    print(f"{len(returns)} episodes; mean score {100 * normalised.mean():.1f}, best {100 * normalised.max():.1f}")
    kept = np.argsort(-returns)[: max(1, round(args.best * len(returns)))]
    episodes = list(data.iterate_episodes(kept.tolist()))
    obs = torch.from_numpy(np.concatenate([e.observations[:-1] for e in episodes]))
    action = torch.from_numpy(np.concatenate([e.actions for e in episodes]))

    net = nn.Sequential(
        nn.Linear(obs.shape[1], args.hidden), nn.LayerNorm(args.hidden), nn.SiLU(),
        nn.Linear(args.hidden, args.hidden), nn.LayerNorm(args.hidden), nn.SiLU(),
        nn.Linear(args.hidden, action.shape[1]), nn.Tanh(),
    )  # fmt: skip
    optimizer = torch.optim.Adam(net.parameters(), lr=args.learning_rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, args.epochs)
    for epoch in range(args.epochs):
        total = 0.0
        for index in torch.randperm(len(obs)).split(args.batch):
            loss = (net(obs[index]) - action[index]).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += float(loss.detach()) * len(index) / len(obs)
        schedule.step()
        if epoch % max(1, args.epochs // 10) == 0:
            print(f"epoch {epoch + 1}: mean squared distance {total:.5f}")

    def act(seen: NDArray[np.float32]) -> NDArray[np.float32]:
        with torch.no_grad():
            return net(torch.as_tensor(seen)).numpy()

    made = data.env_spec.kwargs
    table = score(act, made["scenario"], overrides=made["overrides"], episodes=args.eval_episodes, name="minari_bc")
    print(table.round(3).to_string())


if __name__ == "__main__":
    main()
