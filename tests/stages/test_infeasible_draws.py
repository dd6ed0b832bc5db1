"""Draws that cannot be simulated: what a user sees names the expression, the date and the drawn values."""

import logging
from dataclasses import replace

import pytest

from modeling.failures import UserError
from modeling.run_names import CPU, EPYDEMIX
from modeling.simulate.run import run_workload
from tests.builds import build
from tests.calibrations import fitting
from tests.changes import override
from tests.experiments import sampled

LOWERED = "2025-02-03"


def with_a_low_rate(experiment: dict, from_day: str = LOWERED) -> dict:
    """Return an experiment whose rate of recovery is negative from a day on where R0 is above 1.5."""
    model = experiment["model"]
    model["transitions"][1]["rate"] = "gamma * (1.5 - R0 * low)"
    model["parameters"]["low"] = {"type": "scalar", "value": 0.5}
    model["interventions"] = [override(1.0, from_day, model["timespan"]["end_date"], target="low")]
    return experiment


@pytest.mark.parametrize("engine", [CPU, EPYDEMIX])
def test_an_ensemble_names_the_parameter_set_the_rate_the_date_and_the_draw(tmp_path, engine):
    experiment = with_a_low_rate(sampled())
    experiment["modelset"]["sampling"]["parameters"]["R0"]["values"] = [1.2, 1.4]
    *_, last = build(tmp_path, experiment)  # stage A refuses 2.0, so the input is forged

    with pytest.raises(UserError) as caught:
        run_workload(replace(last, task=replace(last.task, draw={"R0": 2.0})), engine)

    assert str(caught.value) == (
        'US-VT, parameter set 1: the rate "gamma * (1.5 - R0 * low)" is negative (-0.125) '
        f"on {LOWERED}, with R0 = 2"
    )


@pytest.mark.parametrize("engine", [CPU, EPYDEMIX])
def test_a_calibration_tells_how_many_draws_cannot_be_simulated_and_the_first(tmp_path, caplog, engine):
    caplog.set_level(logging.WARNING)
    experiment = with_a_low_rate(fitting("top_fraction", Nsim=40, top_fraction=0.2))
    experiment["modelset"]["calibration"]["parameters"]["R0"]["prior"]["args"] = [1.3, 0.4]  # 1.3 to 1.7
    [workload] = build(tmp_path, experiment)

    result = run_workload(workload, engine)

    [line] = [text for each in caplog.records if "cannot be simulated" in (text := each.getMessage())]
    assert "of 40 draws cannot be simulated, so the posterior has none like them (the first: the rate" in line
    assert f" on {LOWERED}, with R0 = 1." in line
    assert 5 < int(line.split()[1]) < 35
    assert result.generations[0].particles.max() < 1.5


def test_a_projection_that_cannot_go_on_names_its_particle(tmp_path):
    experiment = fitting("top_fraction", Nsim=40, top_fraction=0.5)
    experiment["model"]["timespan"]["end_date"] = "2025-03-20"
    with_a_low_rate(experiment, "2025-03-10")
    experiment["modelset"]["calibration"]["parameters"]["R0"]["prior"]["args"] = [1.6, 0.4]
    [workload] = build(tmp_path, experiment)

    with pytest.raises(UserError, match=r"projection 0 cannot be simulated .* on 2025-03-10, with R0 = "):
        run_workload(workload)
