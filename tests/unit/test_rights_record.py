"""When a refusal is a line on standard error: the first time, and again after it was allowed."""

import pytest

from localcloud.rights.denied import Denied
from localcloud.rights.enforcement import Rights

MEMBER, PERMISSION, RESOURCE = "user:a@example.com", "workflows.workflows.get", "projects/p"
VIEWER = {"bindings": [{"role": "roles/workflows.viewer", "members": [MEMBER]}]}


@pytest.fixture
def policy():
    return {}


@pytest.fixture
def asked(policy, capsys):
    """What asks the same question, and returns how many lines were printed."""
    rights = Rights("p")
    rights.judge_by(lambda holder: policy, lambda email: True)

    def asked(is_allowed: bool) -> int:
        policy.clear()
        policy.update(VIEWER if is_allowed else {})
        if is_allowed:
            rights.ask(MEMBER, PERMISSION, RESOURCE)
        else:
            with pytest.raises(Denied):
                rights.ask(MEMBER, PERMISSION, RESOURCE)
        return capsys.readouterr().err.count(f"denied to {MEMBER}: {PERMISSION} on {RESOURCE}")

    return asked


def test_a_refusal_is_said_once(asked):
    assert [asked(False), asked(False)] == [1, 0]


def test_a_refusal_of_what_was_allowed_is_said_again(asked):
    assert [asked(True), asked(False), asked(False), asked(True), asked(False)] == [0, 1, 0, 0, 1]
