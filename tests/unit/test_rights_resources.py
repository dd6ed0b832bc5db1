"""Names of resources: one for each, however a request gives it."""

import pytest

from localcloud.rights.resources import PROJECT_NUMBER, account_name, holders, in_project, project_of_account

OWN = "robot@my-lab.iam.gserviceaccount.com"
DEFAULT = f"{PROJECT_NUMBER}-compute@developer.gserviceaccount.com"


@pytest.mark.parametrize(
    ("given", "project", "name"),
    [
        (OWN, "my-lab", f"projects/my-lab/serviceAccounts/{OWN}"),
        (OWN, "their-lab", f"projects/my-lab/serviceAccounts/{OWN}"),
        (f"projects/-/serviceAccounts/{OWN}", "their-lab", f"projects/my-lab/serviceAccounts/{OWN}"),
        (DEFAULT, "my-lab", f"projects/my-lab/serviceAccounts/{DEFAULT}"),
        ("1234", "-", "projects/-/serviceAccounts/1234"),
    ],
)
def test_an_account_is_one_of_the_project_that_its_email_names(given, project, name):
    assert account_name(given, project) == name


@pytest.mark.parametrize("email", [DEFAULT, "ann@my-lab.example", "robot@iam.gserviceaccount.com", ""])
def test_an_email_that_names_no_project(email):
    assert not project_of_account(email)


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("projects/-", "projects/my-lab"),
        (f"projects/{PROJECT_NUMBER}", "projects/my-lab"),
        (f"projects/{PROJECT_NUMBER}/secrets/s", "projects/my-lab/secrets/s"),
        ("projects/-/serviceAccounts/1234", "projects/my-lab/serviceAccounts/1234"),
        (f"projects/{PROJECT_NUMBER}0/secrets/s", f"projects/{PROJECT_NUMBER}0/secrets/s"),
        ("projects/their-lab", "projects/their-lab"),
        ("projects/-lab", "projects/-lab"),
        ("projects/_/buckets/b", "projects/_/buckets/b"),
    ],
)
def test_a_project_that_is_named_by_its_number_or_not_at_all_is_the_one_of_the_cloud(given, name):
    assert in_project(given, "my-lab") == name


def test_the_policies_that_count_are_those_of_the_resource_and_of_its_project():
    version = "projects/my-lab/secrets/s/versions/1"

    assert holders(version, "my-lab") == ["projects/my-lab/secrets/s", "projects/my-lab"]
    assert holders("projects/_/buckets/b/objects/o", "my-lab") == ["projects/_/buckets/b", "projects/my-lab"]
    assert holders("projects/my-lab/locations/l/jobs/j", "my-lab") == ["projects/my-lab"]
