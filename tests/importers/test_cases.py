"""Files made after public complaints, where they are beside the checkout: read right, or refused with a reason.

Each has a sibling of the same form in the other tests of this folder, which always run.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from greenhop.errors import ConfigError, DataError
from greenhop.importers.build import build_pack
from greenhop.importers.hourly import Hourly
from greenhop.importers.spec import load_import, read_input
from tests.importers.writers import CASES

pytestmark = pytest.mark.skipif(not CASES.is_dir(), reason=f"no cases: {CASES} is absent")
PRICE, WIND = "price_cny_per_mwh", "wind_cf"
BATCH, TRAINING = "arrivals_batch_inference_mwh_per_mw", "arrivals_ai_training_mwh_per_mw"


class Prices(NamedTuple):
    """A case whose UTC hour t has the value 50 + (t mod 997)/10."""

    name: str
    start: str
    hours: int
    repairs: dict[str, int]


def imported(name: str) -> Hourly:
    return read_input(load_import(CASES / name / "spec.yaml").inputs[0])


@pytest.mark.parametrize(
    "case",
    [
        Prices("01-entsoe-gui-two-prices", "2024-01-01T00", 2184, {}),
        Prices("02-entsoe-15min-switch", "2025-07-31T22", 2953, {"rows_averaged_to_hours": 5956}),
        Prices("53-entsoe-mostly-hourly", "2025-07-06T22", 2304, {"rows_averaged_to_hours": 960}),
        Prices("03-ember-mwhe", "2024-01-01T00", 2184, {}),
        Prices("05-reversed-local-dst", "2024-08-31T22", 2184, {"files_reversed": 1, "dst_repeated_rows_resolved": 1}),
        Prices("55-label-eest", "2024-08-31T21", 2184, {}),
    ],
    ids=lambda case: case.name,
)
def test_prices_have_the_value_of_their_hour(case: Prices) -> None:
    made = imported(case.name)
    start = datetime.fromisoformat(case.start).replace(tzinfo=UTC)
    assert (made.first_hour, made.hours) == (int(start.timestamp()) // 3600, case.hours)
    hour = made.first_hour + np.arange(made.hours)
    np.testing.assert_allclose(made.values[PRICE], 50 + hour % 997 * 0.1, rtol=1e-12)
    assert case.repairs.items() <= made.repairs.items()
    assert "empty_hours_cut_at_ends" not in made.repairs


def test_the_hour_repeated_in_autumn_has_both_its_values_in_a_file_that_runs_backwards() -> None:
    made = imported("05-reversed-local-dst")
    at = int(datetime(2024, 10, 27, tzinfo=UTC).timestamp()) // 3600 - made.first_hour
    assert made.values[PRICE][at : at + 3].tolist() == pytest.approx([149.5, 149.6, 50.0])


def test_a_type_that_misses_an_hour_is_interpolated_alone() -> None:
    made = imported("39-entsoe-gen-one-type-misses-an-hour")
    assert (made.hours, made.repairs) == (2184, {"hours_interpolated": 1})
    assert made.values[WIND][700] == pytest.approx(made.values[WIND][[699, 701]].mean(), abs=1 / 3000)


def test_a_row_given_twice_is_dropped_and_counted() -> None:
    made = imported("61-openmeteo-row-twice")
    assert made.repairs["duplicate_rows_dropped"] == 1
    assert made.hours == 2183


@pytest.mark.parametrize("name", ["21-swf-partial-executions", "22-swf-partial-control"])
def test_partial_executions_change_nothing(name: str) -> None:
    made = imported(name)
    assert made.values[BATCH].mean() == pytest.approx(0.15)
    assert made.values[TRAINING].mean() == pytest.approx(0.05)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("14-truncated-number", "row 2185: the last line is not complete: it ends in '14' without a line feed"),
        ("41-entsoe-gen-area-types-blocks", "AreaTypeCode holds BZN, CTA, CTY; choose the rows of one"),
    ],
)
def test_what_is_refused_says_why(name: str, said: str) -> None:
    with pytest.raises(DataError, match=said):
        imported(name)


PROFILES = {"28-azure-llm-1h": "hour", "29-azure-llm-2024-week": "week", "30-azure-functions-14d": "day"}


@pytest.mark.parametrize(("name", "period"), PROFILES.items())
def test_short_traces_say_what_they_lack_and_make_a_pack_as_a_profile(name: str, period: str, tmp_path: Path) -> None:
    config = load_import(CASES / name / "spec.yaml")
    with pytest.raises(ConfigError, match=r"three splits need three whole weeks at least: .* repeat: week"):
        build_pack(config, tmp_path / "short")
    assert not (tmp_path / "short").exists()
    again = config.inputs[0].model_copy(update={"repeat": period})
    manifest = build_pack(config.model_copy(update={"inputs": [again]}), tmp_path / "pack")
    assert sum(info.mean for info in manifest.arrays.values()) == pytest.approx(0.2)
