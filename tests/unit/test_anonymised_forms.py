"""Names of strangers in the texts of programs, which are known by the words around them alone."""

import pytest

from ops.project.anonymise import Anonymiser

SAID = [
    ("could not resolve host: git.mylab.university", "mylab"),
    ("Could not resolve proxy: thorin", "thorin"),
    ("Failed to connect to thorin port 443 after 2 ms", "thorin"),
    ("ssh: connect to host thorin port 22: refused", "thorin"),
    ("getaddrinfo failed for 'thorin'", "thorin"),
    ("could not connect: host=thorin user=gimli", "thorin"),
    ("could not connect: host=thorin user=gimli", "gimli"),
    ("uid=1001(gimli) gid=1001(gimli)", "gimli"),
    ("open ~gimli/mines.yaml: no such file", "gimli"),
    ("open ~/mines.yaml: no such file", "mines"),
    ("gimli@localhost may not", "gimli"),
    ("10.21.32.43:443 refused", "10.21.32.43"),
    ("account [gimli] is not active", "gimli"),
    ("Secret [moria-pat] not found", "moria"),
    ("X-Api-Key: 9f8e7d6c5b4a", "9f8e7d6c5b4a"),
    ("https://moria-archive.storage.googleapis.com/x/y", "moria"),
    ("https://console.cloud.google.com/storage/browser/moria-archive", "moria"),
    ("https://console.cloud.google.com/batch/jobs?authuser=1&project=moria", "moria"),
    ("gcr.io/moria/forecast:v1 not found", "moria"),
    ("projects/dwarves.example:moria/locations/us-central1", "moria"),
    ("https://gitlab.com/moria/group/mines.git: not found", "moria"),
    ("git@gitlab.com:moria/group/mines.git: not found", "mines"),
]


@pytest.mark.parametrize(("text", "name"), SAID)
def test_a_name_is_known_by_the_words_around_it(text, name):
    found = Anonymiser().anonymous({"said": text, text: ["once more", text]})

    assert name not in str(found).lower()


@pytest.mark.parametrize(
    "text",
    [
        "gcr.io/cloud-builders/docker@sha256:aaaaaaaaaaaa failed to connect to the port",
        "roles/batch.agentReporter for the user, the host and the account",
        "12:30 and 3.14 of version 1.2.3",
    ],
)
def test_words_that_name_nobody_stay(text):
    assert Anonymiser().anonymous(text) == text
