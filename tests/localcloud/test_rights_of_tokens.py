"""Whom an access token makes the caller, in a cloud that enforces rights."""

import google.auth.jwt
import pytest
import requests
from google.auth.transport.requests import AuthorizedSession

from localcloud.identity import Identity
from localcloud.members import OWNER, token_of
from tests.emulated import write_service_account_key
from tests.localcloud.governed import assertion
from tests.localcloud.members import OF_PROJECT, account, denied


def see_the_project(cloud, token: str) -> requests.Response:
    headers = {"Authorization": f"Bearer {token}"}
    return requests.get(cloud.apis + OF_PROJECT, headers=headers, timeout=10)


def test_a_token_that_the_client_library_signs_itself_is_of_the_account_of_the_key(enforcing, tmp_path):
    robot = account(enforcing)
    key = write_service_account_key(tmp_path / "key.json", f"{enforcing.apis}/token", robot.email)
    audience = "https://cloudresourcemanager.googleapis.com/"
    credentials = google.auth.jwt.Credentials.from_service_account_file(str(key), audience=audience)
    session = AuthorizedSession(credentials)

    refused = session.get(enforcing.apis + OF_PROJECT)
    robot.given("browser")
    allowed = session.get(enforcing.apis + OF_PROJECT)

    assert denied(refused) == "resourcemanager.projects.get"
    assert allowed.status_code == 200, allowed.text


@pytest.mark.parametrize("claim", ["iss", "sub"])
def test_a_signed_token_is_of_its_subject_or_else_of_its_issuer(enforcing, claim):
    robot, other = account(enforcing).given("browser"), account(enforcing)
    claims = {"sub": robot.email} if claim == "sub" else {}
    token = assertion(other.email if claim == "sub" else robot.email, **claims)

    assert see_the_project(enforcing, token).status_code == 200
    assert see_the_project(enforcing, assertion(other.email)).status_code == 403


@pytest.mark.parametrize("token", ["any", "a.b.c", "e30.e30.e30", "e30.W10.e30", assertion("no-account")])
def test_a_token_that_names_nobody_is_of_whoever_owns_the_door(enforcing, token):
    assert see_the_project(enforcing, token).status_code == 200  # the main door is the project's owner's


@pytest.mark.parametrize("place", [OF_PROJECT, "/storage/v1/b?project=p", "/some-bucket/some-object"])
def test_an_identity_token_is_no_access_token_whosever_door_it_comes_through(enforcing, place):
    owner = OWNER.partition(":")[2]
    token = Identity().token(owner, "https://service.run.app")
    at = enforcing.apis if place == OF_PROJECT else enforcing.storage

    answer = requests.get(at + place, headers={"Authorization": f"Bearer {token}"}, timeout=10)

    assert answer.status_code == 401
    assert owner in answer.text


@pytest.mark.parametrize("parameter", ["access_token", "oauth_token"])
def test_a_token_may_be_a_parameter_of_the_query(enforcing, parameter):
    robot = account(enforcing)
    ask = {"params": {parameter: token_of(robot.name)}, "timeout": 10}

    refused = requests.get(enforcing.apis + OF_PROJECT, **ask)
    of_storage = requests.get(f"{enforcing.storage}/storage/v1/b?project=p", **ask)
    robot.given("browser")
    allowed = requests.get(enforcing.apis + OF_PROJECT, **ask)

    assert denied(refused) == "resourcemanager.projects.get"
    assert f"{robot.email} does not have storage.buckets.list access" in of_storage.text
    assert allowed.status_code == 200, allowed.text


def test_of_two_tokens_that_of_the_header_counts(enforcing):
    robot = account(enforcing)
    other = account(enforcing).given("browser")
    headers = {"Authorization": f"Bearer {token_of(other.name)}"}

    answer = requests.get(
        enforcing.apis + OF_PROJECT,
        params={"access_token": token_of(robot.name)},
        headers=headers,
        timeout=10,
    )

    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize("empty", [{}, {"access_token": ""}])
def test_without_any_token_no_api_answers(enforcing, empty):
    answer = requests.get(enforcing.apis + OF_PROJECT, params=empty, timeout=10)

    assert answer.status_code == 401
    assert "missing required authentication credential" in answer.text
