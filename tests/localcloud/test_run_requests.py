"""Requests to services of Cloud Run: what reaches an instance, and how it is answered."""

import pytest

from tests.localcloud.run_services import SLEEPER, serving


@pytest.fixture(scope="module")
def services(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("run")) as services:
        yield services


def test_a_request_is_answered_by_the_process_of_its_service(services):
    url = services.deploy(SLEEPER, name="sleeper")

    answer = services.call(f"{url}/any?seconds=0")

    (instance,) = services.status(service="sleeper")
    assert (answer.status_code, answer.json()["pid"]) == (200, instance["pid"])
    assert instance["state"] == "ready"
    assert answer.json()["headers"]["host"] == url.removeprefix("https://")


def test_a_host_that_is_no_service_is_not_found(services):
    assert services.call("https://none-123456789012.us-central1.run.app/").status_code == 404
