"""What there is: environment ids, scenarios, agents, benchmarks, policies."""

from __future__ import annotations


def print_inventory() -> None:
    """Print all names that `greenhop list` shows, one group a line."""
    from rich.console import Console

    console = Console(highlight=False, soft_wrap=True)
    for group, names in inventory().items():
        console.print(f"[bold]{group}[/bold]: {', '.join(names)}")


def inventory() -> dict[str, list[str]]:
    """Names by group; policies are what `policy=` takes beside run folders."""
    from greenhop import ENV_IDS
    from greenhop.scenario.find import scenario_names
    from greenhop_agents.base.overrides import choices
    from greenhop_agents.shelf.find import policy_names

    return {
        "environments (gymnasium.make)": [f"greenhop:{env_id}" for env_id in ENV_IDS],
        "scenarios (scenario=)": scenario_names(),
        "agents to train (agent=)": choices("agent"),
        "benchmarks (benchmark=)": choices("benchmark"),
        "policies (policy=)": policy_names(),
    }
