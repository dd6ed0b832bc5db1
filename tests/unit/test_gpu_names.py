"""Names of the GPU lane: within the lengths of Google's services, and always the same."""

import re

import pytest

from ops.environment import read_settings
from ops.failures import UserError
from ops.gpu.names import ACCOUNTS, BUCKETS, SERVICES, Names

LONGEST = "a" + "-b" * 8 + "c"  # 18 characters


def names_for(prefix: str = LONGEST, project: str = "my-lab-forecasts", region: str = "us-central1") -> Names:
    environ = {"PROJECT_ID": project, "REGION": region, "SERVICE_PREFIX": prefix}
    return Names.of(read_settings(environ))


def test_names_with_the_longest_prefix_are_within_the_lengths_of_the_services():
    names = names_for()

    accounts = [*map(names.account_id, ACCOUNTS), names.build_account_id]
    buckets = [*map(names.bucket, BUCKETS), names.build_bucket]
    assert all(re.fullmatch(r"[a-z][a-z0-9-]{4,28}[a-z0-9]", each) for each in accounts)
    assert all(re.fullmatch(r"[a-z0-9][a-z0-9-]{1,61}[a-z0-9]", each) for each in buckets)
    assert re.fullmatch(r"[a-z][a-z0-9-]{0,61}[a-z0-9]", names.repository)
    assert all(len(names.service(each)) <= 49 for each in SERVICES)
    # with the project's number it is a part of a host's name
    assert all(len(f"{names.service(each)}-123456789012") <= 63 for each in SERVICES)
    assert max(len(names.workflow), len(names.trigger)) <= 63


def test_names_differ_by_project_region_and_prefix_and_are_otherwise_the_same():
    stems = {
        names_for().stem,
        names_for(project="another-lab").stem,
        names_for(region="europe-west4").stem,
        names_for(prefix="flu").stem,
    }

    assert len(stems) == 4
    assert names_for() == names_for()


@pytest.mark.parametrize("prefix", ["ab", "a" * 19, "9lives", "Flu", "flu-", "goog-flu", "my-google-flu"])
def test_a_prefix_that_some_name_could_not_begin_with_is_refused(prefix):
    with pytest.raises(UserError, match=r"SERVICE_PREFIX=.*3 to 18 characters"):
        names_for(prefix)
