"""Identity tokens: what they say, which text is none, and how the real gcloud gets one."""

import os
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localcloud.identity import TOKEN_SECONDS, Claims, Identity, InvalidToken, unverified_claims
from tests.emulated import write_service_account_key
from tests.localcloud.run_services import CALLER, SLEEPER, create_account, only, serving
from tests.needs import need_program

URL = "https://app-123456789012.us-central1.run.app"
IDENTITY = Identity()
TOKEN = IDENTITY.token(CALLER, URL)


def test_a_token_says_who_calls_and_for_whom_it_was_made():
    assert IDENTITY.read(TOKEN) == Claims(CALLER, URL)


def test_a_token_is_valid_for_an_hour():
    times = [0.0]
    identity = Identity(now=lambda: times[0])
    token = identity.token(CALLER, URL)

    times[0] = TOKEN_SECONDS - 1
    assert identity.read(token).email == CALLER
    times[0] = TOKEN_SECONDS
    with pytest.raises(InvalidToken, match="expired"):
        identity.read(token)


@given(st.text())
def test_no_other_text_is_a_token(text):
    for wrong in (text, f"{text}.{text}.{text}", f"x{text}{TOKEN}", f"{TOKEN}{text}x"):
        with pytest.raises(InvalidToken):
            IDENTITY.read(wrong)


@given(st.integers(0, len(TOKEN) - 1), st.characters())
def test_a_token_with_another_character_is_refused(place, character):
    changed = TOKEN[:place] + character + TOKEN[place + 1 :]

    if changed != TOKEN:
        with pytest.raises(InvalidToken):
            IDENTITY.read(changed)


def test_a_token_of_another_emulator_is_refused():
    with pytest.raises(InvalidToken, match="signature"):
        IDENTITY.read(Identity().token(CALLER, URL))


@given(st.text())
def test_the_claims_of_a_text_that_is_no_token_are_refused(text):
    for wrong in (text, f"{text}.{text}.{text}", "a.WzFd.c", "a.IiI.c"):  # a list, and an empty text
        with pytest.raises(InvalidToken):
            unverified_claims(wrong)


def test_gcloud_prints_a_token_of_a_key_that_a_service_accepts(tmp_path):
    with serving(tmp_path) as services:
        create_account(services, CALLER)
        url = services.deploy(SLEEPER, access=only(CALLER))
        gcloud = gcloud_with_key(tmp_path, f"{services.server.url}/token", CALLER)

        token = gcloud("auth", "print-identity-token", f"--audiences={url}").stdout.strip()
        answer = services.call(url, headers={"Authorization": f"Bearer {token}"})

    assert answer.status_code == 200


@pytest.mark.parametrize(
    ("assertion", "said"),
    [
        ("none", "not a JWT"),
        (TOKEN[:40], "not a JWT"),
        ("e30.eyJpc3MiOiJhIiwidGFyZ2V0X2F1ZGllbmNlIjoiYiJ9.e30", "account not found"),
    ],
)
def test_an_assertion_without_an_account_gets_no_token(api, assertion, said):
    answer = api("POST", "/token", data={"assertion": assertion})

    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_grant")
    assert said in answer.json()["error_description"]


def gcloud_with_key(folder, token_uri, email):
    """Return a function that runs gcloud as a service account whose key it has activated."""
    key = write_service_account_key(folder / "key.json", token_uri, email)
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "CLOUDSDK_CONFIG": str(folder / "gcloud"),
        "CLOUDSDK_CORE_DISABLE_PROMPTS": "1",
        "CLOUDSDK_CORE_ACCOUNT": email,
        "no_proxy": "127.0.0.1",
    }

    def run(*words):
        argv = [need_program("gcloud"), *words]
        done = subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return done

    run("auth", "activate-service-account", f"--key-file={key}")
    return run
