"""Write docs/settings.md from the models that check settings: python scripts/settings_page.py"""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydantic import BaseModel

PAGE = Path(__file__).resolve().parents[1] / "docs" / "settings.md"
GENERATED = "<!-- written by scripts/settings_page.py from the code; change the code and run it again -->"
ABOUT = (
    "Every key that the schemas of scenarios, imports, agents and benchmarks know, made from the models that check",
    "them. `NAME` stands for a name of your own, `[]` for every entry of a list. Any key can be set on the command",
    "line (`scenario.market.green_target=0.5`) and, for scenarios, from Python",
    '(`overrides=["market.green_target=0.5"]`). What else a command takes, `greenhop COMMAND --help` says.',
)


def main() -> None:
    """Write the page."""
    ArgumentParser(description=__doc__).parse_args()
    PAGE.write_text(page(), encoding="utf-8")


def page() -> str:
    """The whole text.

    Raises:
        KeyError: a key without a description.
    """
    from greenhop.cards.markdown import paragraph
    from greenhop.cards.settings import sections

    parts = [f"## {title}\n\n{sections(roots)}" for title, roots in groups().items()]
    return "\n\n".join([GENERATED, "# Settings", paragraph(*ABOUT), *parts]) + "\n"


def groups() -> dict[str, dict[str, type[BaseModel]]]:
    """Models by what their keys begin with, under the headings of the page."""
    from greenhop.importers.fetch import FetchConfig
    from greenhop.importers.layout import Layout
    from greenhop.importers.registry import JOBS, SERIES
    from greenhop.importers.spec import ImportConfig
    from greenhop.jobs.draw import JobStatistics
    from greenhop.jobs.trace import TraceOptions
    from greenhop.scenario.config import ScenarioConfig
    from greenhop_agents.base.cli import Settings
    from greenhop_agents.benchmark.plan import BenchmarkConfig
    from greenhop_agents.commands.replay_jobs import Trace
    from greenhop_agents.learners.algorithms.es import EsConfig
    from greenhop_agents.learners.algorithms.planner import PlannerConfig
    from greenhop_agents.learners.algorithms.ppo import PpoConfig
    from greenhop_agents.learners.algorithms.shac import ShacConfig
    from greenhop_agents.learners.sb3 import Sb3Config
    from greenhop_agents.studies.budgets import BudgetsConfig
    from greenhop_agents.studies.ceiling import CeilingConfig
    from greenhop_agents.studies.conditioning import ConditioningConfig
    from greenhop_agents.studies.datasets import CollectConfig
    from greenhop_agents.studies.felt import FeltConfig
    from greenhop_agents.studies.margins import MarginsConfig
    from greenhop_agents.studies.pareto import ParetoConfig
    from greenhop_agents.training.cloning import WarmStart

    layouts: dict[str, Layout[Any, Any]] = {**SERIES, **JOBS}
    return {
        "Scenario": {"scenario.": ScenarioConfig},
        "Import of one's own data": {
            "import.": ImportConfig,
            "import fetch=SERVICE: ": FetchConfig,
            **{f"{name}: inputs[].options.": layout.options for name, layout in layouts.items()},
        },
        "Single jobs, from Python": {"JobStatistics.": JobStatistics, "TraceOptions.": TraceOptions},
        "Agents": {
            "agent=linear_es, constant_es: agent.options.": EsConfig,
            "agent=planner: agent.options.": PlannerConfig,
            "agent=ppo: agent.options.": PpoConfig,
            "agent=shac: agent.options.": ShacConfig,
            "agent=sb3_NAME: agent.": Sb3Config,
            "agent.warm_start.": WarmStart,
        },
        "Benchmark": {"benchmark.": BenchmarkConfig},
        "Keys that commands share": {"": Settings},
        "Command margins": {"": MarginsConfig},
        "Command felt": {"": FeltConfig},
        "Command ceiling": {"": CeilingConfig},
        "Command conditioning": {"": ConditioningConfig},
        "Command jobs": {"": Trace},
        "Command pareto": {"": ParetoConfig},
        "Command budgets": {"": BudgetsConfig},
        "Command collect": {"": CollectConfig},
    }


if __name__ == "__main__":
    main()
