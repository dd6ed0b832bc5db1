"""A sampling experiment becomes every grid point with every sample, the same wherever it is built."""

import datetime
import itertools

import numpy as np
import pytest
from scipy.stats import norm

from modeling.build.parameter_sets import parameter_sets
from modeling.failures import UserError
from modeling.vocabulary.sampling import Sampling
from tests.builds import build
from tests.experiments import sampled

SAMPLES = 40


def sampling(**changes) -> Sampling:
    """Return a grid of 2 x 3 points and a hypercube of a parameter, a compartment and a start date."""
    content = {
        "samplers": [
            {"strategy": "grid", "parameters": ["a", "b"]},
            {
                "strategy": "LHS",
                "n_samples": SAMPLES,
                "parameters": ["c", "d", "start_date"],
                "compartments": ["I"],
            },
        ],
        "parameters": {
            "a": {"values": [1, 2]},
            "b": {"values": [10, 20, 30]},
            "c": {"distribution": {"name": "uniform", "args": [5, 2]}},
            "d": {"distribution": {"name": "norm", "args": [100, 10]}},
        },
        "compartments": {"I": {"min": 0.1, "max": 0.3}},
        "start_date": {
            "reference_date": "2025-01-05",
            "distribution": {"name": "randint", "args": [0, 10]},
        },
    }
    return Sampling.model_validate(content | changes)


def hypercube_experiment(n_samples=8) -> dict:
    """Return an experiment that samples R0, people and the start date."""
    experiment = sampled()
    experiment["model"]["compartments"][1]["init"] = "sampled"
    experiment["model"]["timespan"]["start_date"] = "sampled"
    experiment["modelset"]["sampling"] = {
        "samplers": [
            {
                "strategy": "lhs",
                "n_samples": n_samples,
                "parameters": ["R0", "start_date"],
                "compartments": ["I"],
            }
        ],
        "parameters": {"R0": {"distribution": {"name": "uniform", "args": [1, 1]}}},
        "compartments": {"I": {"min": 10, "max": 5000}},
        "start_date": {
            "reference_date": "2025-01-05",
            "distribution": {"name": "randint", "args": [0, 14]},
        },
    }
    return experiment


def test_every_grid_point_stands_with_every_sample_the_last_name_running_fastest():
    sets = parameter_sets(sampling(), seed=1)

    points = [(s["a"], s["b"]) for s in sets]
    assert points == [point for point in itertools.product([1, 2], [10, 20, 30]) for _ in range(SAMPLES)]
    samples = [tuple(s[name] for name in ("c", "d", "start_date", "I")) for s in sets]
    assert samples == samples[:SAMPLES] * 6
    assert len(set(samples)) == SAMPLES


def test_each_sample_has_a_slice_of_each_range_to_itself():
    sets = parameter_sets(sampling(), seed=1)[:SAMPLES]

    def slices(unit) -> list[int]:
        return sorted(int(u * SAMPLES) for u in unit)

    everyone = list(range(SAMPLES))
    assert slices((s["c"] - 5) / 2 for s in sets) == everyone
    assert slices((s["I"] - 0.1) / 0.2 for s in sets) == everyone
    assert slices(norm.cdf(s["d"], 100, 10) for s in sets) == everyone
    days = [s["start_date"] for s in sets]
    assert sorted(days) == sorted(list(range(10)) * (SAMPLES // 10))


def test_the_same_seed_gives_the_same_sets_and_another_seed_others():
    first, again, other = (parameter_sets(sampling(), seed) for seed in (1, 1, 2))

    assert first == again
    assert [s["c"] for s in first] != [s["c"] for s in other]
    assert [s["a"] for s in first] == [s["a"] for s in other]
    columns = np.array([[s["c"], s["d"], s["I"]] for s in first[:SAMPLES]])
    assert np.abs(np.corrcoef(columns.T) - np.eye(3)).max() < 0.5


@pytest.mark.parametrize(
    ("samplers", "count"),
    [
        ([{"strategy": "grid", "parameters": ["a"]}], 2),
        ([{"strategy": "LHS", "n_samples": 7, "parameters": ["c"]}], 7),
        ([{"strategy": "LHS", "n_samples": 7}], 7),
    ],
    ids=["a grid", "a hypercube", "nothing but repetitions"],
)
def test_one_sampler_is_enough(samplers, count):
    sets = parameter_sets(sampling(samplers=samplers), seed=1)

    assert len(sets) == count
    assert {name for s in sets for name in s} == set(samplers[0].get("parameters", []))


def test_case_and_blanks_in_the_name_of_a_population_do_not_matter(tmp_path):
    experiment = sampled()
    experiment["model"]["population"]["name"] = " us-vt"
    experiment["modelset"]["population_names"] = ["US-VT", "All"]

    workloads = build(tmp_path, experiment)

    assert [w.population for w in workloads] == ["US-VT"] * 3


def test_workloads_are_numbered_population_by_population_and_keep_their_draws(tmp_path):
    experiment = sampled()
    del experiment["model"]["population"]["name"]
    experiment["modelset"]["population_names"] = ["US-VT", "US-MA"]

    workloads = build(tmp_path / "both", experiment)
    experiment["modelset"]["population_names"] = ["US-MA"]
    only = build(tmp_path / "only", experiment)

    assert [w.index for w in workloads] == [w.primary_id for w in workloads] == list(range(6))
    assert [w.population for w in workloads] == ["US-VT"] * 3 + ["US-MA"] * 3
    assert [w.task.draw for w in workloads] == [{"R0": 1.2}, {"R0": 1.6}, {"R0": 2.0}] * 2
    assert [w.set_index for w in workloads] == [0, 1, 2] * 2
    assert {w.set_count for w in workloads} == {3}
    assert len({w.entropy for w in workloads}) == 6
    assert [w.entropy for w in workloads[3:]] == [w.entropy for w in only]


def test_a_sampled_start_date_counts_from_its_reference_date(tmp_path):
    workloads = build(tmp_path, hypercube_experiment(14))

    days = [w.task.draw["start_date"] for w in workloads]
    assert sorted(days) == list(range(14))
    assert [w.start_date for w in workloads] == [
        datetime.date(2025, 1, 5) + datetime.timedelta(days=day) for day in days
    ]
    assert all(10 <= w.task.draw["I"] <= 5000 for w in workloads)
    assert {w.end_date for w in workloads} == {datetime.date(2025, 2, 15)}


def test_a_start_date_after_the_end_is_told(tmp_path):
    experiment = hypercube_experiment()
    experiment["modelset"]["sampling"]["start_date"]["distribution"]["args"] = [100, 120]

    with pytest.raises(UserError, match=r"modelset.yaml:\d+: a sampled start date, 2025-0\d-\d\d, is after"):
        build(tmp_path, experiment)


@pytest.mark.parametrize(
    ("section", "content", "message"),
    [
        ("parameters", {"R0": {"distribution": {"name": "uniform", "args": [-3, 1]}}}, "is negative"),
        (
            "compartments",
            {"I": {"min": 10, "max": 5_000_000}},
            "people where there are .*; narrow the ranges",
        ),
    ],
)
def test_a_draw_that_cannot_be_is_refused_before_anything_is_run(tmp_path, section, content, message):
    experiment = hypercube_experiment(20)
    experiment["modelset"]["sampling"][section] = content

    with pytest.raises(UserError, match=message):
        build(tmp_path, experiment)


def hypercube(kwargs: dict, name: str = "uniform", args=(1.2, 0.8)) -> dict:
    """Return an experiment that samples R0 and its start date, with these keyword arguments in both."""
    experiment = sampled()
    experiment["model"]["timespan"]["start_date"] = "sampled"
    days = {"name": "randint", "args": [0, 5], "kwargs": kwargs}
    experiment["modelset"]["sampling"] = {
        "samplers": [{"strategy": "LHS", "n_samples": 3, "parameters": ["R0", "start_date"]}],
        "parameters": {"R0": {"distribution": {"name": name, "args": list(args), "kwargs": kwargs}}},
        "start_date": {"reference_date": "2025-01-01", "distribution": days},
    }
    return experiment


def test_a_keyword_that_a_distribution_does_not_have_is_ignored_with_one_warning(tmp_path, caplog):
    with_it = build(tmp_path / "with", hypercube({"some_other_param": 100}))
    said = [record.getMessage() for record in caplog.records]

    without = build(tmp_path / "without", hypercube({}))

    assert [w.task.draw for w in with_it] == [w.task.draw for w in without]
    assert [line.partition(": ")[2] for line in said] == [
        "uniform has no some_other_param, which is ignored; leave it out",
        "randint has no some_other_param, which is ignored; leave it out",
    ]
    assert all(line.startswith("modelset.yaml:") for line in said)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"kwargs": {"scael": 2}}, "unexpected keyword argument 'scael'"),
        ({"name": "unifrom"}, "did you mean"),
    ],
    ids=["a misspelled argument", "a misspelled distribution"],
)
def test_a_misspelling_in_a_sampled_distribution_is_refused(tmp_path, given, said):
    with pytest.raises(UserError, match=said):
        build(tmp_path, hypercube(**{"kwargs": {}, **given}))
