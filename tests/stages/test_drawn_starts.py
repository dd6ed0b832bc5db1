"""A start date that the modelset draws replaces a fixed one of the model, with a warning."""

import pickle

import pytest

from tests.bending import CALIBRATION, SAMPLING, check_mistake, put
from tests.builds import build
from tests.experiments import calibrated, sampled

OFFSET = {"name": "randint", "args": [0, 10]}
NO_PRIOR = {"reference_date": "2024-12-29"}


def calibrated_start(start) -> dict:
    experiment = calibrated()
    experiment["model"]["timespan"]["start_date"] = start
    drawn = {"reference_date": "2024-12-29", "prior": OFFSET}
    experiment["modelset"]["calibration"]["start_date"] = drawn
    return experiment


def sampled_start(start) -> dict:
    experiment = sampled()
    experiment["model"]["timespan"]["start_date"] = start
    sampling = experiment["modelset"]["sampling"]
    sampling["start_date"] = {"reference_date": "2024-12-29", "distribution": OFFSET}
    sampling["samplers"].append({"strategy": "LHS", "n_samples": 3, "parameters": ["start_date"]})
    return experiment


@pytest.mark.parametrize(("make", "word"), [(calibrated_start, "calibrated"), (sampled_start, "sampled")])
def test_a_fixed_start_beside_a_drawn_one_is_not_used_and_warned_of_once(tmp_path, caplog, make, word):
    marked = build(tmp_path / "marked", make(word))
    assert "start_date" not in caplog.text

    beside = build(tmp_path / "beside", make("2025-01-20"))

    assert [pickle.dumps(w) for w in beside] == [pickle.dumps(w) for w in marked]
    [warning] = [r.getMessage() for r in caplog.records if "start_date" in r.getMessage()]
    assert warning == (
        "model.yaml:4: start_date 2025-01-20 is not used, because the modelset draws the start from "
        f'2024-12-29 on; write "start_date: {word}"'
    )


MISTAKES = {
    "calibrated without a prior": (
        calibrated,
        [put("model", "timespan", "start_date", "calibrated"), put(*CALIBRATION, "start_date", NO_PRIOR)],
        'a calibrated start_date needs "prior"',
    ),
    "calibrated without the section": (
        calibrated,
        [put("model", "timespan", "start_date", "calibrated")],
        'the model says that "start_date" is calibrated, but it is not given here',
    ),
    "fixed without a prior": (
        calibrated,
        [put(*CALIBRATION, "start_date", NO_PRIOR)],
        'a calibrated start_date needs "prior"',
    ),
    "fixed and in no sampler": (
        sampled,
        [put(*SAMPLING, "start_date", NO_PRIOR | {"distribution": OFFSET})],
        '"start_date" is in no sampler',
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_drawn_start_without_its_distribution_is_refused(tmp_path, name):
    make, bends, said = MISTAKES[name]

    check_mistake(tmp_path, make, bends, ["modelset.yaml:", said])
