"""The last lines of a rehearsal: how many questions were asked, by whom, and which a delay refused."""

import pytest

from localcloud.members import OWNER
from ops.rehearsal.questions import Questions

ANN, BEN = "user:ann@example.com", "user:ben@example.com"
GRANT = {"holder": "projects/p", "role": "roles/viewer", "member": ANN, "condition": ""}


def row(member: str = ANN, permission: str = "storage.objects.get", resource: str = "projects/p", **more):
    return {"member": member, "permission": permission, "resource": resource, "by": [GRANT]} | more


def refused(**more):
    return row(**more) | {"by": [], "later": [GRANT]}


def test_a_question_counts_once_and_those_of_the_owner_do_not_count():
    questions = Questions()

    questions.add([row(), row(permission="storage.objects.list"), row(OWNER)])
    questions.add([row(), row(BEN)])

    assert questions.lines() == ["rights: 3 questions of 2 members, nothing was denied"]


@pytest.mark.parametrize(
    ("records", "said"),
    [
        ([[row()]], "nothing was refused because of it"),
        (
            [[row(), row(BEN, waited=True)]],
            "1 question was refused before its role counted; repeated until it did",
        ),
        # emptied before the use is repeated, with another name
        (
            [[refused(resource="first"), row(BEN, waited=True)], [row(resource="second"), row(BEN)]],
            "2 questions were refused before their roles counted; repeated until they did",
        ),
        (
            [[refused(), row(BEN, waited=True)], [row(), refused(permission="logging.logEntries.create")]],
            "3 questions were refused before their roles counted; repeated until they did, but for 1 not "
            "asked again",
        ),
    ],
    ids=["not felt", "repeated by a service", "repeated by the rehearsal", "not repeated"],
)
def test_a_delay_says_what_it_did(records, said):
    questions = Questions(60)

    for each in records:
        questions.add(each)

    assert questions.lines()[1:] == [f"delay of 60 s: {said}"]
    assert questions.lines()[0].endswith(" but for the delay") == (said[0] != "n")
