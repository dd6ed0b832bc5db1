"""What this version does not have built in is refused with its line."""

import pytest

from tests.bending import check_mistake, prior, put
from tests.experiments import calibrated

# what is wrong: the experiment, how it is bent, and what the first line must say
MISTAKES = {
    "hub file": (
        calibrated,
        [put("output", "flusight_format", {"reference_date": "2025-02-01"})],
        ["output.yaml:16:", "flusight_format is not built into this version"],
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
