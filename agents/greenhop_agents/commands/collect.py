"""Record policies as an offline dataset that Minari reads, with the scores of price following and the optimum."""

from __future__ import annotations

from pathlib import Path

from omegaconf import DictConfig

from greenhop_agents.base.cli import write_json


def main(config: DictConfig) -> None:
    """Record, bound, write, print; JSON last."""
    import numpy as np
    from rich.console import Console

    from greenhop_agents.base.progress import progress_bar
    from greenhop_agents.studies.datasets import collect, collect_config, references, write_dataset

    settings, console = collect_config(config), Console()
    with progress_bar(f"episodes of {settings.scenario_name}", "policy") as update:
        recorded = collect(settings, update)
    starts = np.concatenate([part.start for part in recorded]).tolist()
    with progress_bar("certified bounds", "episode") as update:
        scores = references(settings, starts, update)
    write_dataset(settings, recorded, scores, Path(config.output))
    facts = {}
    for part in recorded:
        mean = float(part.reward.sum(1).mean())
        facts[part.policy] = 100.0 * (mean - scores[0]) / (scores[1] - scores[0])
        console.print(f"{part.policy}: {len(part.reward)} episodes, score {facts[part.policy]:.1f}")
    console.print(f"{settings.dataset} in {config.output}; read it with MINARI_DATASETS_PATH={config.output}")
    known = {"dataset": settings.dataset, "ref_min_score": scores[0], "ref_max_score": scores[1], "scores": facts}
    write_json(config.json, known)
