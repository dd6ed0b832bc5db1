"""What this version does not have built in is refused with its line."""

import pytest

from tests.bending import DELETED, check_mistake, prior, put
from tests.experiments import calibrated, simulated

# what is wrong: the experiment, how it is bent, and what the first line must say
MISTAKES = {
    "vaccination": (
        simulated,
        [
            put("model", "transitions", 1, {"type": "vaccination", "source": "S", "target": "R"}),
            put("output", DELETED),
            put(
                "model",
                "vaccination",
                {
                    "scenario_data_path": "doses.csv",
                    "scenario": "A_B",
                    "origin_compartment": "S",
                    "eligible_compartments": ["S"],
                },
            ),
        ],
        ["model.yaml:", "vaccination is not built into this version; leave it out, or use MODELING_SUITE"],
    ),
    "seasonality": (
        simulated,
        [
            put(
                "model",
                "seasonality",
                {
                    "target_parameter": "R0",
                    "method": "balcan",
                    "max_value": 1,
                    "min_value": 0.5,
                    "seasonality_max_date": "2024-10-01",
                },
            )
        ],
        ["model.yaml:43:", "seasonality is not built into this version"],
    ),
    "interventions": (
        simulated,
        [put("model", "interventions", [{"type": "school_closure", "scaling_factor": 0.3}])],
        ["model.yaml:43:", "interventions is not built into this version"],
    ),
    "distribution of one's own": (
        calibrated,
        prior(type="custom", name="mine"),
        ["modelset.yaml:19:", "custom are not built; use one of scipy"],
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_told_with_its_place_and_its_remedy(tmp_path, name):
    check_mistake(tmp_path, *MISTAKES[name])
