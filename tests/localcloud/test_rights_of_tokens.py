"""Whom an access token makes the caller, in a cloud that enforces rights."""

import google.auth.jwt
import pytest
import requests
from google.auth.transport.requests import AuthorizedSession

from localcloud.identity import Identity
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


def test_an_identity_token_makes_nobody_the_caller_of_an_api(enforcing):
    token = Identity().token(account(enforcing).email, "https://service.run.app")

    assert see_the_project(enforcing, token).status_code == 200
