"""A bound once found is not solved again, unless anything it depends on changes or the cache is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from greenhop.errors import ConfigError, SolverError
from greenhop.lp.solve import Options
from greenhop_agents.report.nodal import check_prices_path, panels, save_prices
from greenhop_agents.scoring import bounds as module
from greenhop_agents.scoring.bounds import Task, episode_bounds, episode_window
from tests.sims import day_sim


@pytest.fixture
def solved(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """An empty cache, and the keys of the tasks that are really solved."""
    keys: list[str] = []
    real = module._facts

    def counted(task: Task) -> module.Facts:
        if task.key in broken:
            raise SolverError("interrupted")
        keys.append(task.key)
        return real(task)

    broken: set[str] = set()
    monkeypatch.setenv("GREENHOP_CACHE", str(tmp_path))
    monkeypatch.setattr(module, "_facts", counted)
    monkeypatch.setattr(module, "BROKEN", broken, raising=False)
    return keys


def test_a_second_run_reads_what_the_first_one_found(solved: list[str]) -> None:
    sim = day_sim("pair2")
    first, second = episode_bounds(sim, [5, 6]), episode_bounds(sim, [6, 5, 7])
    assert len(solved) == 3
    assert (second[1].bound_cny, second[1].totals) == (first[0].bound_cny, first[0].totals)
    assert second[0].seconds == first[1].seconds


def test_an_interrupted_run_goes_on_where_it_stopped(solved: list[str]) -> None:
    sim = day_sim("pair2")
    doomed = Task(*episode_window(sim, 6), Options()).key
    module.BROKEN.add(doomed)  # type: ignore[attr-defined]
    with pytest.raises(SolverError):
        episode_bounds(sim, [5, 6])
    module.BROKEN.clear()  # type: ignore[attr-defined]
    assert [b.start for b in episode_bounds(sim, [5, 6])] == [5, 6]
    assert len(solved) == len(set(solved)) == 2


def test_without_the_cache_every_bound_is_solved_afresh(solved: list[str]) -> None:
    for _ in range(2):
        episode_bounds(day_sim("pair2"), [5], use_cache=False)
    assert len(solved) == 2


def test_options_and_windows_have_keys_of_their_own() -> None:
    sim = day_sim("pair2")
    tasks = [
        Task(*episode_window(sim, 5), Options()),
        Task(*episode_window(sim, 5), Options(solver="simplex")),
        Task(*episode_window(sim, 6), Options()),
        Task(*episode_window(day_sim("tri3"), 5), Options()),
    ]
    assert len({task.key for task in tasks}) == len(tasks)
    assert tasks[0].key == Task(*episode_window(sim, 5), Options(log=True)).key


@pytest.mark.parametrize("name", ["prices.npz", "prices.png"])
def test_nodal_prices_are_written_as_arrays_or_as_a_figure(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    check_prices_path(str(path))
    save_prices(day_sim("pair2"), 5, Options(), str(path))
    if path.suffix == ".npz":
        with np.load(path) as stored:
            assert stored["power"].shape == (24, 2)
            assert {"pools", "links", "work", "capacity"} <= set(stored.files)
    else:
        assert path.stat().st_size > 5000


def test_the_figure_of_prices_shows_power_work_pools_and_the_links_that_are_full() -> None:
    params = day_sim("pair2").params
    steps, regions, links = 4, params.n_regions, len(params.links)
    work = np.zeros((steps, regions, len(params.deferrable), params.n_slots))
    work[:, 0, 0, :2] = [100.0, 300.0]
    duals = {"power": np.ones((steps, regions)), "work": work, "links": np.zeros((steps, links))}
    duals["capacity"] = np.ones((steps, regions, len(params.pools)))
    assert [panel.unit for panel in panels(duals, params)] == ["CNY/MWh"] * 3
    duals["links"][2, 1] = -8.0
    *_, waiting, _, crowded = panels(duals, params)
    assert waiting.price[:, 0] == pytest.approx(200.0)
    assert list(crowded.names) == [" → ".join(params.links[1])]
    assert crowded.price.max() == 8.0


def test_a_path_for_prices_that_cannot_be_written_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="ends in"):
        check_prices_path("prices.pdf")
    with pytest.raises(ConfigError, match="does not exist"):
        check_prices_path(str(tmp_path / "none" / "prices.png"))
