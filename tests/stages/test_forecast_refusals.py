"""What is refused of a forecast from surveillance data: settings, keys, and files beside it."""

import datetime

import pytest
import yaml

from modeling.failures import UserError
from tests.experiments import simulated, write_repository
from tests.in_process import ended
from tests.surveillance import (
    build_of,
    forecast,
    staged,
    write_forecast,
)

SATURDAY = datetime.date(2025, 1, 11)


def test_settings_of_models_are_refused_for_a_forecast(tmp_path):
    stages = staged(tmp_path)

    code, lines = ended(stages, "builder", COUNT=2)
    assert (code, len(lines)) == (2, 1)
    assert "COUNT=2 splits a model-only experiment" in lines[0]

    code, lines = ended(stages, "builder", MODELING_SUITE="epymodelingsuite")
    assert (code, len(lines)) == (2, 1)
    assert "MODELING_SUITE=epymodelingsuite has no forecasts from surveillance data" in lines[0]
    assert not stages.run_folder.exists()


def test_a_seed_changes_nothing_and_that_is_said(tmp_path, caplog):
    built = build_of(write_forecast(tmp_path), seed=5)

    assert built.seed == 5
    assert "SEED=5 changes nothing" in caplog.text


@pytest.mark.parametrize(
    ("options", "named"),
    [({"reference_date": SATURDAY}, "REFERENCE_DATE=2025-01-11 is"), ({"strict": True}, "STRICT=1 is")],
)
def test_settings_of_forecasts_are_refused_for_a_model(tmp_path, options, named):
    config = write_repository(tmp_path, simulated())

    with pytest.raises(UserError, match=f"{named} for forecasts from surveillance data"):
        build_of(config, **options)


@pytest.mark.parametrize(
    ("changes", "fragments"),
    [
        ({"population_names": ["FR"]}, ["forecast.yaml:", "France is not a location of the FluSight hub"]),
        ({"population_names": ["US-XX"]}, ["forecast.yaml:", '"US-XX" is not a known population']),
        ({"population_names": ["MA"]}, ["MA: Morocco is not a location", "Massachusetts is US-MA"]),
        ({"population_names": ["vt"]}, ['"vt" is not a known population (did you mean "US-VT"?)']),
        (
            {"history_path": "data/ili.csv"},
            ["no file data/ili.csv", "`invoke data-update --history --exp-id trial` fetches"],
        ),
        (
            {"population_names": ["US-CA", "US-CA"]},
            ["duplicate population US-CA; keep one"],
        ),
        ({"reference_date": "2025-01-10"}, ["forecast.yaml:", "2025-01-10 is a Friday"]),
        ({"reference_date": "2025-02-15"}, ["forecast.yaml:", "2025-02-15 is in the future", "2025-01-08"]),
        ({"reference_date": "2024-12-28"}, ["no vintage at or before the reference date 2024-12-28"]),
        ({"method": "random_walks"}, ["forecast.yaml:2", '(did you mean "random_walk"?)']),
        ({"observed_data_path": ""}, ["forecast.yaml:", "observed_data_path is empty"]),
        ({"observed_data": "x"}, ["forecast.yaml:", 'unknown key "observed_data"']),
    ],
)
def test_a_forecast_that_cannot_be_meant_is_refused_in_one_line(tmp_path, changes, fragments):
    experiment = forecast(**changes)
    stages = staged(tmp_path, experiment=experiment)

    code, lines = ended(stages, "builder")

    assert (code, len(lines)) == (2, 1)
    for fragment in fragments:
        assert fragment in lines[0]
    assert not stages.run_folder.exists()


@pytest.mark.parametrize("kind", ["model", "modelset"])
def test_a_forecast_beside_a_model_is_refused(tmp_path, kind):
    config = write_forecast(tmp_path)
    (config / f"{kind}.yaml").write_text(yaml.safe_dump({kind: {}}))

    with pytest.raises(UserError) as caught:
        build_of(config)

    assert f'forecast.yaml has the key "forecast", an experiment of its own without {kind}' in str(
        caught.value
    )
    assert f"move {kind}.yaml" in str(caught.value)


@pytest.mark.parametrize(
    ("section", "fragment"),
    [
        ({"quantiles": {"compartments": True}}, "has no quantiles; leave it out"),
        ({"trajectories": {"compartments": True}}, "has no trajectories; leave it out"),
        ({"posteriors": True}, "has no posteriors; leave it out"),
        ({"covid19_format": {}}, "has no covid19_format; leave it out"),
        ({"model_meta": {"projection_parameters": True}}, "has no projection; leave it out"),
        (
            {"flusight_format": {"reference_date": "2025-01-18"}},
            "2025-01-18 is not the reference date of the forecast, 2025-01-11; leave it out",
        ),
    ],
)
def test_an_output_that_a_forecast_cannot_write_is_refused(tmp_path, section, fragment):
    config = write_forecast(tmp_path, experiment=forecast() | {"output": section})

    with pytest.raises(UserError) as caught:
        build_of(config)

    assert str(caught.value).startswith("output.yaml:")
    assert fragment in str(caught.value)
