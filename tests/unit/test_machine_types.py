"""The table of machine types: what it lists and refuses. Terraform's refusals are in tests/deploy/."""

import json

import pytest

from ops.cloud.machine_types import TABLE, check_stage_fits, machine_types
from ops.failures import UserError


@pytest.mark.parametrize(
    ("typed", "near"),
    [
        ("c4d-standrd-4", "c4d-standard-4"),
        ("n2-standard-3", "n2-standard-"),
        ("e2standard-2", "e2-standard-2"),
    ],
)
def test_a_type_that_is_not_listed_is_refused_with_a_near_one_and_the_way_to_add_it(typed, near):
    with pytest.raises(UserError) as refused:
        check_stage_fits("builder", 1000, 1000, typed)

    said = str(refused.value)
    assert said.startswith(f"stage A (builder): {typed} is not in terraform/machine_types.json (did you mean")
    assert f'(did you mean "{near}' in said
    assert "choose another STAGE_A_MACHINE_TYPE (empty: Batch chooses)" in said
    assert said.endswith(f"gcloud compute machine-types describe {typed} --zone ZONE")


def test_each_family_boots_from_one_kind_of_disk_or_from_both():
    table = json.loads(TABLE.read_text())
    only, none = set(table["hyperdisk_only_families"]), set(table["no_hyperdisk_families"])

    assert not only & none
    families = {name.partition("-")[0] for name in machine_types()}
    assert len(families & only) > 3
    assert len(families & none) > 3
