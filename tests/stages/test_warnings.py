"""What an experiment hardly means is warned about once, in one line; what is usual is not."""

import json
import re
import shutil

import pytest

from tests.experiments import EXAMPLES, OBSERVED, POPULATIONS, calibrated, sampled, simulated
from tests.stage_scripts import Stages


def warnings_of(tmp_path, experiment, observed=OBSERVED, **variables) -> list[str]:
    stages = Stages(tmp_path, experiment, **variables)
    (tmp_path / "forecast" / "data" / "observed.csv").write_text(observed)
    ended = stages.run("builder")
    assert ended.exit_code == 0, ended.output
    return [line.partition("warning: ")[2] for line in ended.lines if "warning" in line]


def plain(make=simulated, start="2025-01-05", end="2025-02-15", frequency="W-SAT"):
    experiment = make()
    experiment["model"]["timespan"] |= {"start_date": start, "end_date": end}
    experiment["model"]["simulation"]["resample_frequency"] = frequency
    return experiment


@pytest.mark.parametrize("make", [simulated, sampled, calibrated])
def test_a_usual_experiment_gets_no_warning(tmp_path, make):
    assert warnings_of(tmp_path, plain(make)) == []


def seeded(make=simulated, **inits):
    experiment = plain(make)
    for compartment in experiment["model"]["compartments"]:
        compartment["init"] = inits.get(compartment["id"])
    return experiment


def seeded_by_draws(low: float, high: float):
    experiment = seeded(sampled, S="default", I="sampled")
    experiment["modelset"]["sampling"]["compartments"] = {"I": {"min": low, "max": high}}
    sampler = {"strategy": "LHS", "n_samples": 3, "compartments": ["I"]}
    experiment["modelset"]["sampling"]["samplers"].append(sampler)
    return experiment


def seeded_by_a_prior(width: float):
    experiment = seeded(calibrated, S="default", I="calibrated")
    prior = {"prior": {"name": "uniform", "args": [0, width]}}
    experiment["modelset"]["calibration"]["compartments"] = {"I": prior}
    return experiment


@pytest.mark.parametrize(
    ("experiment", "said"),
    [
        (seeded(S="default", I=5e-7), "init 5e-07 of I is less than half a person of 647,464"),
        (seeded(S="default", I=[0, 1e-9, 0]), "init [0, 1e-09, 0] of I is less than half a person"),
        (seeded(S="default", R=0.1), "I starts with nobody and nobody ever enters it"),
        (seeded(S="default", I=0), "there is no S_to_I; give it an init"),
        (seeded_by_draws(0, 5e-7), "of I is less than half a person of 647,464, so it starts with nobody"),
        (seeded_by_a_prior(5e-7), "the highest share of I, 5e-07, is less than half a person of 647,464"),
    ],
)
def test_a_mediator_that_starts_with_nobody_gets_one_warning(tmp_path, experiment, said):
    warnings = warnings_of(tmp_path, experiment)

    assert [said in warning and "US-VT: " in warning for warning in warnings] == [True], warnings


def latent():
    """Return an experiment whose first people are latent: they come into the mediator by themselves."""
    experiment = seeded(S="default")
    model = experiment["model"]
    model["compartments"].append({"id": "L", "init": 10})
    model["transitions"][0]["target"] = "L"
    model["transitions"].append({"type": "spontaneous", "source": "L", "target": "I", "rate": 0.5})
    experiment["output"] = {"quantiles": {"selections": [0.25, 0.5, 0.75], "compartments": True}}
    return experiment


@pytest.mark.parametrize(
    "experiment", [latent(), seeded(), seeded(S="default", I=8e-7), seeded_by_a_prior(0.001)]
)
def test_a_mediator_that_somebody_will_enter_gets_no_warning(tmp_path, experiment):
    assert warnings_of(tmp_path, experiment) == []


@pytest.mark.parametrize("exp_id", ["demo", "scenarios"])
def test_the_examples_get_no_warning(tmp_path, exp_id):
    variables = {"FORECAST_REPO_DIR": str(EXAMPLES), "EPYDEMIX_DATA_DIR": str(POPULATIONS)}

    ended = Stages(tmp_path, simulated(), exp_id, **variables).run("builder")

    assert ended.exit_code == 0
    assert "warning" not in ended.output


@pytest.mark.parametrize(
    ("start", "end", "frequency", "cut", "mend"),
    [
        ("2025-01-08", "2025-02-15", "W-SAT", "2025-01-05 to 2025-01-11", "start on 2025-01-05"),
        ("2025-01-05", "2025-02-11", "W-SAT", "2025-02-09 to 2025-02-15", "end on 2025-02-15"),
        ("2025-01-05", "2025-02-11", "7D", "2025-02-09 to 2025-02-15", "end on 2025-02-15"),
        (
            "2025-01-05",
            "2025-02-11",
            "2W-SAT",
            "2024-12-29 to 2025-01-11 and 2025-02-09 to 2025-02-22",
            "use resample_frequency 14D and end on 2025-02-22",
        ),
        (
            "2025-01-05",
            "2025-03-11",
            "MS",
            "2025-01-01 to 2025-01-31 and 2025-03-01 to 2025-03-31",
            "start on 2025-01-01 and end on 2025-03-31",
        ),
    ],
)
def test_an_interval_that_is_simulated_in_part_is_told_with_the_dates_that_mend_it(
    tmp_path, start, end, frequency, cut, mend
):
    [warning] = warnings_of(tmp_path, plain(start=start, end=end, frequency=frequency))

    assert warning.startswith("model.yaml:3: the model runs from ")
    assert f"holds only a part of {cut} (resample_frequency {frequency})" in warning
    assert warning.endswith(f"to have it whole, {mend}")


def test_a_cut_end_is_told_also_where_each_set_has_its_own_start(tmp_path):
    experiment = plain(sampled, end="2025-02-12")
    experiment["model"]["timespan"]["start_date"] = "sampled"
    sampling = experiment["modelset"]["sampling"]
    sampling["start_date"] = {
        "reference_date": "2025-01-05",
        "distribution": {"name": "randint", "args": [0, 9]},
    }
    sampling["samplers"].append({"strategy": "LHS", "n_samples": 2, "parameters": ["start_date"]})

    [warning] = warnings_of(tmp_path, experiment)

    assert "only a part of 2025-02-09 to 2025-02-15" in warning
    assert warning.endswith("end on 2025-02-15")


def test_quantiles_beyond_the_trajectories_are_told_with_the_number_they_need(tmp_path):
    experiment = plain()
    experiment["output"]["quantiles"]["selections"] = [0.01, 0.5, 0.99]

    [warning] = warnings_of(tmp_path, experiment)

    assert warning.startswith("output.yaml:")
    assert "quantiles 0.01, 0.99 of 6 trajectories" in warning
    assert "set simulation.n_sims to 100 or more" in warning


@pytest.mark.parametrize("level", [1e-12, 5e-324, 1 - 1e-12])
def test_a_quantile_that_no_number_of_trajectories_can_tell_is_to_be_left_out(tmp_path, level):
    experiment = plain()
    experiment["output"]["quantiles"]["selections"] = [level, 0.5]

    [warning] = warnings_of(tmp_path, experiment)

    assert warning.endswith("depend on the lowest or highest trajectory alone; leave them out")


def test_a_week_without_a_row_inside_the_fitting_window_is_told(tmp_path):
    [warning] = warnings_of(tmp_path, plain(calibrated), OBSERVED.replace("2025-01-18,US-VT,950\n", ""))

    assert warning == (
        "observed.csv: the fitting window has no row of US-VT for 2025-01-18; these dates are not fitted"
    )


def test_data_that_end_before_the_fitting_window_are_told(tmp_path):
    observed = OBSERVED.replace("2025-02-01,US-VT,1500\n2025-02-08,US-VT,1900\n", "")

    [warning] = warnings_of(tmp_path, plain(calibrated), observed)

    assert "no row of US-VT for 2025-02-01" in warning


def test_work_for_weeks_and_results_beyond_any_memory_are_told_before_they_are_tried(tmp_path):
    experiment = plain(sampled, frequency="D")
    experiment["model"]["simulation"]["n_sims"] = 10_000_000
    experiment["model"]["timespan"]["delta_t"] = 0.01
    experiment["modelset"]["sampling"]["parameters"]["R0"]["values"] = [1 + i / 100 for i in range(30)]

    hours, memory = warnings_of(tmp_path, experiment)

    assert hours.startswith("model.yaml:")
    assert "300,000,000 simulations of 4,200 steps take about 35 hours of one core" in hours
    assert "10,000,000 trajectories of one result need about 31 GiB of memory" in memory


@pytest.mark.parametrize("init", [1.0, [1.0, 0, 0]], ids=["number", "by age"])
def test_an_init_of_one_point_nought_is_told_to_be_one_person(tmp_path, init):
    experiment = plain()
    experiment["model"]["compartments"][1]["init"] = init

    [warning] = warnings_of(tmp_path, experiment)

    assert warning.startswith("model.yaml:")
    assert "init 1.0 of I means one person, not everybody" in warning


def test_an_init_of_one_gets_no_warning(tmp_path):
    experiment = plain()
    experiment["model"]["compartments"][1]["init"] = 1

    assert warnings_of(tmp_path, experiment) == []


def test_a_fit_to_nothing_but_zeros_gets_a_warning(tmp_path):
    zeros = re.sub(r"[0-9]+$", "0", OBSERVED, flags=re.MULTILINE)

    [warning] = warnings_of(tmp_path, plain(calibrated), zeros)

    assert warning == "observed.csv: all 4 fitted values of US-VT are 0"


def test_a_list_of_shares_and_people_gets_a_warning(tmp_path):
    experiment = plain()
    experiment["model"]["compartments"][1]["init"] = [0.15, 0, 45]

    [warning] = warnings_of(tmp_path, experiment)

    assert warning.startswith("model.yaml:")
    assert "init of I has shares (0.15) and people (45)" in warning


def test_a_step_longer_than_a_stay_gets_a_warning(tmp_path):
    experiment = plain()
    experiment["model"]["timespan"]["delta_t"] = 7
    experiment["model"]["parameters"]["gamma"]["value"] = 0.5

    [warning] = warnings_of(tmp_path, experiment)

    assert warning.endswith("so they stay 2 days; a step of 7 days is longer; lower timespan.delta_t")


def test_a_duration_in_place_of_a_rate_gets_a_warning(tmp_path):
    experiment = plain()
    experiment["model"]["parameters"]["gamma"]["value"] = 4.0

    [warning] = warnings_of(tmp_path, experiment)

    assert "people leave I at a rate of 4 a day, so they stay 0.25 days" in warning
    assert warning.endswith("write 1/4")


def test_a_country_by_the_letters_of_a_state_gets_a_warning(tmp_path):
    shutil.copytree(POPULATIONS, tmp_path / "world")
    shutil.copytree(
        tmp_path / "world" / "data" / "United_States_Vermont", tmp_path / "world" / "data" / "Morocco"
    )
    places = tmp_path / "world" / "locations.csv"
    places.write_text(places.read_text().replace("United_States_Vermont", "Morocco"))
    experiment = plain()
    experiment["model"]["population"]["name"] = "MA"

    [warning] = warnings_of(tmp_path, experiment, EPYDEMIX_DATA_DIR=tmp_path / "world")

    assert warning.endswith("MA is Morocco; for Massachusetts write US-MA")


def test_a_calibration_without_a_projection_names_the_tables_that_it_does_not_write(tmp_path):
    experiment = plain(calibrated)
    del experiment["modelset"]["calibration"]["projection"]

    [warning] = warnings_of(tmp_path, experiment)

    words = "there is no projection, so no table of quantiles and trajectories is written"
    assert warning == f"output.yaml:2: {words}"


def test_warnings_of_stage_a_are_in_the_report_and_in_the_metadata(tmp_path):
    experiment = plain(end="2025-02-19")
    stages = Stages(tmp_path, experiment)
    for stage in ("builder", "builder", "runner", "output"):  # the second builder resumes
        ended = stages.run(stage, **({"TASK_INDEX": 0} if stage == "runner" else {}))
        assert ended.exit_code == 0, ended.output

    words = "holds only a part of 2025-02-16 to 2025-02-22"
    assert words in (stages.outputs() / "report.html").read_text()
    [warning] = json.loads((stages.run_folder / "run_metadata.json").read_text())["warnings"]
    assert words in warning


def with_parameters(**unused):
    experiment = plain()
    experiment["model"]["parameters"] |= unused
    return experiment


VE = {"type": "age_varying", "values": [0.4, 0.4, 0.3]}


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        (
            {"VE": VE},
            "no rate depends on VE, so it changes nothing; use it in a rate, or remove it",
        ),
        (
            {"VE": VE, "r_vax": {"type": "calculated", "value": "1-VE"}},
            "no rate depends on VE, r_vax, so they change nothing",
        ),
        ({"seasonality_min": {"type": "scalar", "value": 0.5}}, "no rate depends on seasonality_min, so"),
    ],
)
def test_parameters_that_no_rate_depends_on_are_told(tmp_path, parameters, said):
    [warning] = warnings_of(tmp_path, with_parameters(**parameters))

    assert re.match(r"model.yaml:\d+: ", warning)
    assert said in warning


def test_a_calibrated_parameter_that_no_rate_depends_on_is_told(tmp_path):
    experiment = plain(calibrated)
    [name] = experiment["modelset"]["calibration"]["parameters"]
    experiment["model"]["parameters"]["beta"] = {"type": "scalar", "value": 0.05}

    [warning] = warnings_of(tmp_path, experiment)

    assert f"no rate depends on {name}, so" in warning


def test_a_parameter_of_a_parameter_of_a_rate_gets_no_warning(tmp_path):
    experiment = with_parameters(
        stay={"type": "scalar", "value": 4}, days={"type": "calculated", "value": "stay*1"}
    )
    experiment["model"]["parameters"]["gamma"] = {"type": "calculated", "value": "1/days"}

    assert warnings_of(tmp_path, experiment) == []


def test_the_first_interval_of_a_calibrated_start_is_mended_at_its_reference_date(tmp_path):
    experiment = plain(calibrated)
    experiment["model"]["timespan"]["start_date"] = "calibrated"
    prior = {"reference_date": "2025-01-06", "prior": {"name": "randint", "args": [0, 3]}}
    experiment["modelset"]["calibration"]["start_date"] = prior

    warning = next(w for w in warnings_of(tmp_path, experiment) if "to have it whole" in w)

    assert warning.endswith("set reference_date of the calibrated start_date to 2025-01-05")


def test_all_beside_a_model_that_names_its_population_is_told_to_be_that_one(tmp_path):
    experiment = plain(sampled)
    experiment["modelset"]["population_names"] = ["US-VT", "all"]

    [warning] = warnings_of(tmp_path, experiment)

    assert re.match(r"modelset.yaml:4: the model names its population, so it runs in US-VT alone", warning)
