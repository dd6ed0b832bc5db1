"""The adapter's results from epydemix's own objects, as epymodelingsuite hands them over.

The suite itself is on no package index; docs/suites.md says with which commit the whole way was tried.
"""

from types import SimpleNamespace

import numpy as np
import pytest
from epydemix import EpiModel, simulate
from epydemix.calibration import ABCSampler
from scipy.stats import uniform

from modeling.epymodelingsuite_adapter import calibration_result, simulation_result
from modeling.failures import UserError
from modeling.outputs.collect import Collector
from modeling.result_checks import check_result
from modeling.vocabulary.output import DEFAULT_OUTPUT
from modeling.workload import ForeignWorkload
from tests.experiments import simulated
from tests.in_process import ended
from tests.stage_scripts import Stages

WORKLOAD = ForeignWorkload(3, 3, "US-MA", "epymodelingsuite", b"", seed=5)
WINDOW = {"start_date": "2025-01-05", "end_date": "2025-03-01", "resample_frequency": "W-SAT"}


@pytest.fixture
def model() -> EpiModel:
    model = EpiModel(compartments=["S", "I", "R"], parameters={"beta": 0.4, "gamma": 0.2})
    model.add_transition("S", "I", params=("beta", "I"), kind="mediated")
    model.add_transition("I", "R", params="gamma", kind="spontaneous")
    return model


def test_simulation_results_become_ours_and_pass_through_stage_c(model, tmp_path):
    results = model.run_simulations(Nsim=7, rng=1, **WINDOW)
    output = SimpleNamespace(results=results, population="United_States_Massachusetts", delta_t=1.0)

    ours = simulation_result(WORKLOAD, SimpleNamespace(simulation=SimpleNamespace(Nsim=7)), output)
    check_result(ours)
    collector = Collector(DEFAULT_OUTPUT, tmp_path)
    collector.add(ours)
    collected = collector.finish()

    expected = results.get_stacked_compartments()["I_total"]
    assert np.array_equal(ours.trajectories.series("I_total"), expected)
    assert ours.parameters["beta"] == 0.4
    assert {p.name for p in collected.files} >= {"quantiles_compartments.csv.gz", "model_metadata.csv.gz"}


def test_calibration_results_become_ours_with_fit_posterior_and_projection(model, tmp_path):
    def simulation(params: dict) -> dict:
        model.add_parameter(parameters_dict={"beta": params["beta"]})
        path = simulate(model, rng=params["rng"], **WINDOW)
        admissions = path.transitions["S_to_I_total"]
        if not params["projection"]:
            return {"data": admissions[:5], "date": list(path.dates[:5])}
        return {"date": path.dates, **path.transitions, **path.compartments, "admissions": admissions}

    sampler = ABCSampler(
        simulation, {"beta": uniform(0.2, 0.4)}, {"projection": False}, np.arange(5) * 30, rng=2
    )
    sampler.calibrate("smc", num_particles=10, num_generations=2, verbose=False)
    output = SimpleNamespace(
        results=sampler.run_projections({"projection": True}, iterations=6), population="X", delta_t=1.0
    )
    output.results.projections["baseline"][2] = {}  # so the suite marks a projection that failed

    ours = calibration_result(WORKLOAD, SimpleNamespace(), output)
    check_result(ours)
    collector = Collector(DEFAULT_OUTPUT, tmp_path)
    collector.add(ours)

    assert ours.trajectories.count == 5
    assert ours.projected.shape == (5, 1)
    assert ours.fits[0].observed.label == "admissions"
    assert np.array_equal(ours.trajectories.series("admissions"), ours.trajectories.series("S_to_I_total"))
    assert len(ours.generations) == 2
    [panel] = collector.finish().panels
    assert panel.posteriors[0].name == "beta"


def test_without_the_suite_installed_the_stage_says_how_to_mend_it(tmp_path):
    stages = Stages(tmp_path, simulated(), MODELING_SUITE="epymodelingsuite")

    code, [said] = ended(stages, "builder")

    assert code == 2
    assert "install it (docs/suites.md), or use MODELING_SUITE=built-in" in said
    assert not stages.run_folder.exists()


def test_a_count_is_refused_for_the_suite():
    from modeling.epymodelingsuite_adapter import build

    with pytest.raises(UserError, match="COUNT=3"):
        build(None, None, None, None, count=3)
