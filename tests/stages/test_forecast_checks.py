"""Stage B of a forecast from surveillance data: what it checks of an input and of a result."""

import copy
import dataclasses
import datetime

import numpy as np
import pytest

from modeling.failures import UserError
from modeling.forecast.methods import run_forecast
from modeling.forecast_checks import check_forecast_result, check_forecast_workload
from modeling.forecast_records import FORECAST_RECORDS, ForecastResult, ForecastWorkload, Quantiles
from modeling.simulate.run import run_workload
from pipeline.input_list import entry_of
from pipeline.packing import pickled
from pipeline.plain_pickle import load_record
from tests.builds import build
from tests.experiments import simulated
from tests.surveillance import (
    where,
    workload_of,
)

SATURDAY = datetime.date(2025, 1, 11)


def test_doubts_of_the_data_reach_the_result(tmp_path):
    def bend(rows):
        where(rows, as_of="2025-01-08", date="2024-12-28", location="25")[0]["value"] = "-3"

    result = run_forecast(workload_of(tmp_path, bend))

    assert [(each.location, each.kind) for each in result.doubts] == [("25", "fault"), ("25", "gap")]


def test_a_strict_workload_fails_with_the_locations_that_are_left_out(tmp_path):
    workload = workload_of(tmp_path)
    strict = dataclasses.replace(workload, is_strict=True, left_out={"39": "no count"})

    with pytest.raises(
        UserError, match=r"Ohio is left out: no count; correct the data, or leave out .* new run"
    ):
        run_forecast(strict)


def test_data_of_last_week_that_cannot_be_forecast_cost_only_the_look_back(tmp_path):
    workload = workload_of(tmp_path)
    counts = workload.previous.counts.copy()
    counts[:-1, 0] = np.nan
    thin = dataclasses.replace(workload, previous=dataclasses.replace(workload.previous, counts=counts))

    whole, found = run_forecast(workload), run_forecast(thin)

    assert whole.previous is not None
    assert found.previous is None
    np.testing.assert_array_equal(found.forecast.values, whole.forecast.values)
    assert found.notes == [
        "last week's forecast is not made again: 06: a single week has a count; no change is known"
    ]


def test_an_unknown_method_is_refused(tmp_path):
    with pytest.raises(UserError, match="method crystal_ball is unknown; this version has"):
        run_forecast(dataclasses.replace(workload_of(tmp_path), method="crystal_ball"))


def test_only_records_of_this_module_are_unpickled(tmp_path):
    workload = workload_of(tmp_path)
    data = pickled(workload)
    assert isinstance(load_record(data, ForecastWorkload), ForecastWorkload)
    assert {kind.__name__ for kind in FORECAST_RECORDS} >= {"ForecastWorkload", "Surveillance", "Doubt"}
    for module in (b"modeling.workload_records", b"modeling.forecast_recordz"):
        forged = data.replace(b"modeling.forecast_records", module[:25].ljust(25, b"x"))
        with pytest.raises(UserError, match="is not ours; it is not loaded"):
            load_record(forged, ForecastWorkload)


@pytest.mark.parametrize("forged", [np.array([True, False]), 1, "no", None])
def test_a_switch_that_is_neither_true_nor_false_is_refused(tmp_path, forged):
    workload = dataclasses.replace(workload_of(tmp_path), is_strict=forged)

    with pytest.raises(UserError, match=r"is_strict is .* instead of true or false"):
        load_record(pickled(workload), ForecastWorkload)


def result(tmp_path) -> ForecastResult:
    return run_forecast(workload_of(tmp_path))


def changed_values(change):
    def forge(found: ForecastResult) -> ForecastResult:
        values = found.forecast.values.copy()
        change(values)
        return dataclasses.replace(found, forecast=dataclasses.replace(found.forecast, values=values))

    return forge


def setting(**fields):
    return lambda found: dataclasses.replace(found, **fields)


def of_known(fields):
    def forge(workload):
        return dataclasses.replace(
            workload, known=dataclasses.replace(workload.known, **fields(workload.known))
        )

    return forge


def at(place, number):
    return changed_values(lambda values: values.__setitem__(place, number))


@pytest.mark.parametrize(
    ("forge", "problem"),
    [
        (at((0, 0, 0), np.nan), "not finite"),
        (at((0, 0, 0), -1), "numbers from -1"),
        (at((4, 2, 22), np.inf), "numbers from 0 to inf"),
        (at((1, 1, 5), 0.5), "not whole"),
        (at((1, 0, 20), 0), "decrease over their levels"),
        (setting(forecast=Quantiles(SATURDAY, np.zeros((5, 3, 22)))), r"shape \(5, 3, 22\) instead of"),
        (setting(forecast=Quantiles(SATURDAY, np.zeros((5, 3, 23), int))), "an array of int64"),
        (setting(as_of=datetime.date(2025, 1, 12)), "known on 2025-01-12, for a forecast of 2025-01-11"),
        (setting(first_week=datetime.date(2024, 10, 4)), "2024-10-04 is a Friday"),
        (setting(first_week=datetime.date(2024, 10, 12)), "weeks to 2025-01-11"),
        (setting(previous=Quantiles(SATURDAY, np.zeros((5, 3, 23)))), "is not one week earlier"),
        (setting(locations=["06", "25", "78"]), "not those of the hub"),
        (setting(locations=["06", "25", "25"]), "not those of the hub"),
        (setting(people=np.array([1, 2])), "people of shape"),
        (setting(people=np.array([1, 2, 0])), "people of shape"),
        (setting(nowcast=np.zeros((2, 3))), "nowcast"),
        (setting(later=np.full((5, 3), -1.0)), "later counts"),
        (setting(counts=np.full((14, 3), np.nan)), "a location without any"),
        (setting(notes=["x" * 3000]), "too long"),
        (setting(left_out={"06": "no count"}), "notes on locations"),
        (setting(format=9), "format 9 is not 1"),
    ],
)
def test_a_result_that_cannot_be_right_is_refused(tmp_path, forge, problem):
    found = result(tmp_path)
    check_forecast_result(copy.deepcopy(found))

    with pytest.raises(UserError, match=problem):
        check_forecast_result(forge(found))


@pytest.mark.parametrize(
    ("forge", "problem"),
    [
        (lambda w: dataclasses.replace(w, later=np.zeros((4, 3))), "later counts"),
        (lambda w: dataclasses.replace(w, previous=w.known), "not one week earlier"),
        (lambda w: dataclasses.replace(w, people=w.people[:2]), "people of shape"),
        (
            lambda w: dataclasses.replace(
                w, known=dataclasses.replace(w.known, counts=w.known.counts[:, :2])
            ),
            "counts: an array",
        ),
        (
            lambda w: dataclasses.replace(w, known=dataclasses.replace(w.known, earlier=w.known.earlier * 2)),
            "do not increase",
        ),
    ],
)
def test_an_input_that_stage_a_cannot_have_built_is_refused(tmp_path, forge, problem):
    workload = workload_of(tmp_path)
    check_forecast_workload(workload)

    with pytest.raises(UserError, match=problem):
        check_forecast_workload(forge(workload))


def test_a_result_of_another_kind_of_input_is_refused(tmp_path):
    (model,) = build(tmp_path / "model", simulated())
    workload = workload_of(tmp_path)
    made, simulated_result = run_forecast(workload), run_workload(model)

    entry_of(workload).check(made)
    entry_of(model).check(simulated_result)
    for entry, result in ((entry_of(workload), simulated_result), (entry_of(model), made)):
        with pytest.raises(UserError, match="it is the result of another kind of input"):
            entry.check(result)
