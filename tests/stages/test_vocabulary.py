"""What an experiment written for epymodelingsuite 0.1.0 may say is understood here."""

import copy
import datetime

import pytest
import yaml

from modeling.failures import UserError
from modeling.vocabulary import Model, Modelset, Output
from modeling.vocabulary.experiment import load_experiment
from modeling.vocabulary.strategy import parse_duration_seconds
from modeling.vocabulary.yaml_source import read_yaml
from tests.experiments import calibrated, sampled, simulated, write_repository

# two strains of people, with everything a respiratory model is written with
SEASON = """
model:
  meta: {description: a season, author: somebody, version: 1.0.0, date: 2038-01-19}
  name: season
  random_seed: 42
  timespan: {start_date: calibrated, end_date: "2025-05-31", delta_t: 1.0}
  simulation: {resample_frequency: W-SAT}
  population: {age_groups: ["0-4", "5-17", "18-49", "50-64", "65+"]}
  compartments:
    - {id: S, label: Susceptible, init: default}
    - {id: L, init: calibrated}
    - {id: I_symp, init: 10}
    - {id: I_asymp, init: 0.0005}
    - {id: Home, init: [1, 2, 0, 0.01, 4]}
    - {id: Hosp}
    - {id: R, init: 0}
    - {id: Immune, init: calibrated}
  transitions:
    - {type: mediated, source: S, target: L, mediator: I_symp, rate: beta}
    - {type: mediated, source: S, target: L, mediator: I_asymp, rate: beta*r_asymp}
    - type: multi_mediated
      source: Immune
      target: L
      mediators:
        - {rate: beta*(1-0.8), source: [I_symp]}
        - {rate: 0.01, source: [I_asymp, Home]}
    - {type: spontaneous, source: L, target: I_symp, rate: eps*(1-p_asymp)}
    - {type: spontaneous, source: L, target: I_asymp, rate: eps*p_asymp}
    - {type: spontaneous, source: I_symp, target: Home, rate: mu*p_h}
    - {type: spontaneous, source: I_symp, target: R, rate: mu*(1-p_h)}
    - {type: spontaneous, source: I_asymp, target: R, rate: mu}
    - {type: spontaneous, source: Home, target: Hosp, rate: 1/2}
    - {type: spontaneous, source: Hosp, target: R, rate: 0.1}
  parameters:
    beta: {type: calculated, value: Rt*mu/(eigenvalue*(1-p_asymp+p_asymp*r_asymp))}
    Rt: {type: calibrated}
    r_asymp: {type: scalar, value: 0.5}
    p_asymp: {type: scalar, value: 0.45}
    eps: {type: scalar, value: 1/1.5}
    mu: {type: scalar, value: 1/1.5}
    p_h: {type: age_varying, values: [0.007, 0.0027, 0.0056, 0.0110, 1/11]}
"""

SEASON_SET = """
modelset:
  meta: {description: a season}
  population_names: [US-MA, US-VT]
  calibration:
    strategy:
      name: SMC
      options: {num_particles: 20, num_generations: 5, max_time: 6h, verbose: false}
    distance_function: rmse
    observed_data_path: data/observed.csv
    comparison:
      - observed_date_column: target_end_date
        observed_value_column: hospitalizations
        simulation: [Home_to_Hosp_total]
    fitting_window: {start_date: "2024-09-15", end_date: "2025-05-17"}
    projection: {n_trajectories: 100, generation_number: 4}
    compartments:
      L: {prior: {type: scipy, name: uniform, args: [0.0001, 0.0009]}}
      Immune: {prior: {name: uniform, kwargs: {loc: 0.02, scale: 0.33}}}
    start_date:
      reference_date: 2024-09-15
      prior: {type: scipy, name: randint, args: [0, 80]}
    parameters:
      Rt: {prior: {type: scipy, name: uniform, args: [1.0, 1.0]}}
"""

SEASON_OUTPUT = """
output:
  quantiles: {compartments: true, transitions: [Home_to_Hosp_total, S_to_L_0-4]}
  trajectories: {compartments: [Hosp_total], transitions: true}
  posteriors: {generations: [0, 4]}
  model_meta: {projection_parameters: true}
"""


def load(tmp_path, **texts: str):
    config = tmp_path / "experiments" / "season" / "config"
    config.mkdir(parents=True)
    for name, text in texts.items():
        (config / f"{name}.yml").write_text(text)
    return load_experiment(config)


def test_a_whole_season_is_understood(tmp_path):
    experiment = load(tmp_path, first=SEASON, second=SEASON_SET, third=SEASON_OUTPUT)

    model, calibration = experiment.model, experiment.modelset.calibration
    assert experiment.workflow == "calibration"
    assert [c.init for c in model.compartments] == [
        "default", "calibrated", 10, 0.0005, [1, 2, 0, 0.01, 4], None, 0, "calibrated",
    ]  # fmt: skip
    assert model.transition_names[:2] == ["S_to_L", "Immune_to_L"]
    assert model.transitions[2].rates() == [
        (("mediators", 0, "rate"), "beta*(1-0.8)"),
        (("mediators", 1, "rate"), 0.01),
    ]
    assert model.marked("calibrated") == {"L", "Immune", "Rt", "start_date"}
    assert list(calibration.priors()) == ["Rt", "L", "Immune", "start_date"]
    assert calibration.start_date.reference_date == datetime.date(2024, 9, 15)
    assert calibration.comparison[0].observed_location_column == "geo_value"
    assert calibration.strategy.max_seconds == 6 * 3600
    assert experiment.output.posteriors.generations == [0, 4]


def test_a_grid_beside_a_hypercube_with_a_start_date_is_understood(tmp_path):
    model = SEASON.replace("calibrated", "sampled")
    modelset = """
modelset:
  population_names: [all]
  sampling:
    samplers:
      - {strategy: grid, parameters: [Rt]}
      - {strategy: LHS, n_samples: 100, compartments: [L, Immune], parameters: [start_date]}
    compartments: {L: {min: 0, max: 0.1}, Immune: {min: 0.1, max: 0.3}}
    start_date: {reference_date: 2024-10-01, distribution: {type: scipy, name: randint, args: [0, 30]}}
    parameters: {Rt: {values: [1.2, 1.4]}}
"""

    experiment = load(tmp_path, model=model, modelset=modelset)

    sampling = experiment.modelset.sampling
    assert experiment.workflow == "sampling"
    assert sampling.grid.parameters == ["Rt"]
    assert sampling.hypercube.n_samples == 100
    assert experiment.output.posteriors is True  # the default output, for a folder without one


@pytest.mark.parametrize("name", ["SMC", "smc", "Smc", "Rejection", "TOP_FRACTION"])
def test_a_strategy_is_known_in_any_case_with_the_defaults_of_epydemix(name):
    content = calibrated()["modelset"]
    content["calibration"]["strategy"] = {"name": name}

    strategy = Modelset.model_validate(content).calibration.strategy

    defaults = {
        "smc": {"num_particles": 1000, "num_generations": 10, "epsilon_quantile_level": 0.5},
        "rejection": {"num_particles": 1000, "epsilon": 0.1},
        "top_fraction": {"top_fraction": 0.05, "Nsim": 100},
    }
    assert strategy.name == name.lower()
    assert defaults[strategy.name].items() <= strategy.options.model_dump().items()
    assert strategy.max_seconds is None


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("45s", 45),
        ("30m", 1800),
        ("15T", 900),
        ("90min", 5400),
        ("2H", 7200),
        ("1h30m", 5400),
        ("1 h 30 m", 5400),
        ("1.5h", 5400),
        ("2D", 172_800),
        ("W", 604_800),
    ],
)
def test_a_limit_of_time_is_written_as_pandas_writes_it(text, seconds):
    assert parse_duration_seconds(text) == seconds


@pytest.mark.parametrize("text", ["", "soon", "30", "0s", "-1h", "1h soon", "M", "1y"])
def test_a_limit_of_time_that_is_no_fixed_length_is_refused(text):
    with pytest.raises(ValueError, match=r"is not a duration|longer than 0 seconds"):
        parse_duration_seconds(text)


def test_what_is_left_out_has_its_documented_default(tmp_path):
    experiment = simulated()
    del experiment["model"]["simulation"], experiment["model"]["timespan"]["delta_t"], experiment["output"]

    loaded = load_experiment(write_repository(tmp_path, experiment))

    assert loaded.model.timespan.delta_t == 1
    assert loaded.model.simulation is None
    assert loaded.output.quantiles.compartments is True
    assert loaded.workflow == "simulation"


def test_null_stands_for_what_is_left_out(tmp_path):
    experiment = simulated()
    experiment["model"] |= {"meta": None, "vaccination": None, "seasonality": None, "interventions": None}
    experiment["model"]["simulation"] = {"n_sims": None, "resample_frequency": None}
    experiment["output"] = {"quantiles": {"selections": None, "transitions": True}, "flusight_format": None}

    loaded = load_experiment(write_repository(tmp_path, experiment))

    assert loaded.model.simulation.trajectories == 10
    assert len(loaded.output.quantiles.selections) == 23


def test_an_output_names_the_series_of_a_vaccination():
    model = simulated()["model"]
    model["compartments"].append({"id": "S_vax"})
    model["transitions"].append({"type": "vaccination", "source": "S", "target": "S_vax"})
    names = ["S_to_S_vax_total", "S_to_S_vax_65+"]
    output = Output.model_validate(
        {"quantiles": {"transitions": names}, "trajectories": {"transitions": True}}
    )

    assert list(output.problems(Model.model_validate(model))) == []


def test_the_default_quantiles_are_the_23_of_the_forecast_hubs_to_the_digit():
    output = Output.model_validate({"quantiles": {"compartments": True}})

    lower = "0.01 0.025 0.05 0.1 0.15 0.2 0.25 0.3 0.35 0.4 0.45 0.5"
    upper = "0.55 0.6 0.65 0.7 0.75 0.8 0.85 0.9 0.95 0.975 0.99"
    assert [repr(level) for level in output.quantiles.selections] == f"{lower} {upper}".split()


def test_several_mistakes_are_told_at_once_each_with_its_own_line(tmp_path):
    experiment = simulated()
    experiment["model"]["timespan"]["end_date"] = "2024-01-01"
    experiment["model"]["transitions"][1]["rate"] = "gama"
    experiment["model"]["parameters"]["R0"]["value"] = "1/"
    experiment["output"]["quantiles"]["transitions"] = ["S_to_Q_total"]
    config = write_repository(tmp_path, experiment)

    with pytest.raises(UserError) as caught:
        load_experiment(config)

    texts = {kind: (config / f"{kind}.yaml").read_text().splitlines() for kind in experiment}
    wanted = [
        ("model", "end_date:"),
        ("model", "value: 1/"),
        ("model", "rate: gama"),
        ("output", "transitions:"),
    ]
    expected = []
    for kind, text in wanted:
        lines = [n for n, line in enumerate(texts[kind], 1) if line.strip().startswith(text)]
        expected.append((f"{kind}.yaml", lines[0]))
    found = [(p.split(":")[0], int(p.split(":")[1])) for p in caught.value.problems]
    # an expression is told by the line of its parameter, the one before "value"
    near = [any(file == f and 0 <= line - n <= 2 for f, n in found) for file, line in expected]
    assert near == [True] * 4
    assert "(and 3 more" in str(caught.value)


def test_a_missing_key_does_not_hide_the_place_of_a_mistake_beside_it(tmp_path):
    experiment = simulated()
    del experiment["model"]["timespan"]["end_date"]
    experiment["model"]["timespan"]["delta_t"] = "often"
    config = write_repository(tmp_path, experiment)

    with pytest.raises(UserError) as caught:
        load_experiment(config)

    first, second = sorted(caught.value.problems)
    assert first.endswith('timespan: "end_date" is missing')
    assert second.endswith('timespan.delta_t: "often" should be a number')


def test_every_key_knows_its_line(tmp_path):
    path = tmp_path / "model.yaml"
    path.write_text("# a comment\nmodel:\n  a: 1\n\n  b:\n    - x: {y: 2}\n    - z\n  <<: &c\n    d: 3\n")

    source = read_yaml(path)

    assert source.data == {"model": {"a": 1, "b": [{"x": {"y": 2}}, "z"], "d": 3}}
    places = [("model",), ("model", "a"), ("model", "b", 0, "x", "y"), ("model", "b", 1), ("model", "d")]
    assert [source.where(place) for place in places] == [f"model.yaml:{n}" for n in (2, 3, 6, 7, 9)]
    assert source.where(("model", "b", 0, "nothing", "below")) == "model.yaml:6"


def test_a_model_reads_the_same_as_flow_or_as_blocks(tmp_path):
    flow = yaml.safe_dump(simulated()["model"], default_flow_style=True)
    blocks = yaml.safe_dump(simulated()["model"], default_flow_style=False)

    assert Model.model_validate(yaml.safe_load(flow)) == Model.model_validate(yaml.safe_load(blocks))


def test_calculated_parameters_are_ordered_by_their_use():
    content = simulated()["model"]
    content["parameters"] = {
        "a": {"type": "calculated", "value": "b + c"},
        "b": {"type": "calculated", "value": "c * 2"},
        "c": {"type": "calculated", "value": "R0 / eigenvalue"},
        "R0": {"type": "scalar", "value": 2},
    }

    assert Model.model_validate(content).calculation_order() == ["c", "b", "a"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: m["sampling"].update(samplers=[{"strategy": "LHS", "parameters": ["R0"]}]), "n_samples"),
        (lambda m: m["sampling"]["samplers"][0].update(n_samples=3), "no n_samples or compartments"),
        (
            lambda m: m["sampling"]["samplers"].append(copy.deepcopy(m["sampling"]["samplers"][0])),
            "two samplers",
        ),
        (
            lambda m: m["sampling"]["samplers"][0].update(parameters=["R0", "start_date"]),
            "start_date is sampled",
        ),
        (lambda m: m["sampling"]["parameters"]["R0"].update(distribution={"name": "norm"}), "either"),
        (
            lambda m: m["sampling"].update(compartments={"I": {"min": 5, "max": 5}}),
            "max 5 must be above min 5",
        ),
        (
            lambda m: m.update(calibration=calibrated()["modelset"]["calibration"]),
            'either "sampling" or "calib',
        ),
    ],
)
def test_a_sampling_that_contradicts_itself_is_refused(tmp_path, change, message):
    experiment = sampled()
    change(experiment["modelset"])

    with pytest.raises(UserError, match=message) as caught:
        load_experiment(write_repository(tmp_path, experiment))

    assert caught.value.problems[0].startswith("modelset.yaml:")
