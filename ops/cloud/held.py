"""Which permissions the person has, whichever role gives them: testIamPermissions of each service.

A role may come from the resource, the project, a folder, the organization or a group. gcloud has no command
for most of these methods, so they are requested with gcloud's access token, at gcloud's endpoints. The token
is only ever in a header. https://cloud.google.com/iam/docs/testing-permissions
"""

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import quote, urlsplit

from modeling.plain_text import one_line
from ops import gcloud
from ops.cloud.checks import account_in, gcloud_config
from ops.cloud.cloud import Cloud
from ops.cloud.resources import Resource
from ops.failures import TRY_AGAIN, UserError
from ops.people import Right

ANSWER_SECONDS = 30
MOST_AT_ONCE = 100  # permissions in a request
TRIES, PAUSE_SECONDS = 3, 1
YOU = "MEMBER"  # in a command, where gcloud does not say whose credentials it uses
_UNLOGGED = {"CLOUDSDK_CORE_DISABLE_FILE_LOGGING": "true"}  # gcloud's log has what it prints, here a token


@dataclass(frozen=True)
class Held:
    """The answers, by the resource as people.py calls it."""

    account: str = ""
    resources: Mapping[str, Resource] = field(default_factory=dict)
    granted: Mapping[str, frozenset[str]] = field(default_factory=dict)
    unknown: Mapping[str, frozenset[str]] = field(default_factory=dict)  # to the service
    not_asked: Mapping[str, str] = field(default_factory=dict)  # and why
    absent: frozenset[str] = frozenset()  # those of not_asked that do not exist

    @property
    def is_named(self) -> bool:
        """Whether the commands name the person, and not a placeholder."""
        return member_of(self.account) != YOU

    def missing(self, right: Right) -> list[str]:
        """Return the permissions of a right that the person does not have; none of a resource not asked."""
        known = self.granted.get(right.on)
        if known is None:
            return []
        return [each for each in right.permissions if each not in known | self.unknown.get(right.on, set())]

    def command(self, right: Right) -> str:
        """Return the command that gives a right to the person."""
        return self.resources[right.on].command(f"roles/{right.role}", member_of(self.account))


class _NotAsked(Exception):
    """A resource whose permissions cannot be asked, and whether that is because it does not exist."""

    def __init__(self, why: str, is_absent: bool = False):
        super().__init__(why)
        self.is_absent = is_absent


def member_of(account: str) -> str:
    """Return an account as policies name it; a placeholder if it is not known."""
    if "@" not in account:
        return YOU
    kind = "serviceAccount" if account.endswith(".gserviceaccount.com") else "user"
    return f"{kind}:{account}"


def ask(cloud: Cloud, rights: Iterable[Right], known: Mapping[str, str]) -> Held:
    """Return which of the permissions of some rights the person has; a dry run prints the commands alone.

    `known` has the names of resources, by what people.py calls them; rights on others are not asked for.

    Raises
    ------
    UserError
        There is no login (exit code 2), or a service does not answer (75).
    """
    resources = {on: Resource(name) for on, name in known.items()}
    wanted: dict[str, dict[str, None]] = {}
    for right in rights:
        if right.on in resources:
            wanted.setdefault(right.on, {}).update(dict.fromkeys(right.permissions))
    config = gcloud_config(cloud.shell)
    quiet = replace(cloud.shell, environment={**cloud.shell.environment, **_UNLOGGED})
    token = gcloud.read(quiet, ["auth", "print-access-token"], echo=False).strip()
    if not token:  # a dry run
        return Held()
    api = _Api(
        config.get("api_endpoint_overrides", {}), token, config.get("core", {}).get("custom_ca_certs_file")
    )
    answers = gcloud.in_parallel(
        [
            lambda name=name, asked=asked: _answer(api, resources[name], list(asked))
            for name, asked in wanted.items()
        ]
    )
    found = dict(zip(wanted, answers, strict=True))
    refused = {name: each for name, each in found.items() if isinstance(each, _NotAsked)}
    answered = {name: each for name, each in found.items() if name not in refused}
    return Held(
        account_in(config),
        resources,
        {name: granted for name, (granted, _) in answered.items()},
        {name: unknown for name, (_, unknown) in answered.items()},
        {name: str(each) for name, each in refused.items()},
        frozenset(name for name, each in refused.items() if each.is_absent),
    )


def _answer(
    api: "_Api", resource: Resource, asked: Sequence[str]
) -> tuple[frozenset[str], frozenset[str]] | _NotAsked:
    """Return the permissions held on a resource, and those that its service does not know there."""
    granted, unknown = set(), set()
    try:
        for first in range(0, len(asked), MOST_AT_ONCE):
            held, not_known = api.held(resource, asked[first : first + MOST_AT_ONCE])
            granted |= held
            unknown |= not_known
        if not granted:
            api.check_exists(resource)
    except _NotAsked as error:
        return error
    return frozenset(granted), frozenset(unknown)


class _Api:
    """Google's APIs at gcloud's endpoints, asked with a token."""

    def __init__(self, endpoints: Mapping[str, str], token: str, certificates: str | None):
        self._endpoints = endpoints
        self._certificates = certificates or True  # those of this machine
        self._headers = {"Authorization": f"Bearer {token}"}

    def held(self, resource: Resource, asked: Sequence[str]) -> tuple[set[str], set[str]]:
        """Return those of the permissions that are held, and those that the service refuses to answer.

        One permission that does not fit the kind of resource makes a service refuse the whole request, so the
        list is halved until that permission is alone.
        """
        if resource.api == "storage":
            answer = self._request(
                "GET", resource, "/iam/testPermissions", params={"permissions": list(asked)}
            )
        else:
            answer = self._request("POST", resource, ":testIamPermissions", json={"permissions": list(asked)})
        if answer.status_code != 400:
            return set(_checked(answer, resource).get("permissions", [])), set()
        if len(asked) == 1:
            return set(), set(asked)
        middle = len(asked) // 2
        (held, unknown), (more, also) = (
            self.held(resource, asked[:middle]),
            self.held(resource, asked[middle:]),
        )
        return held | more, unknown | also

    def check_exists(self, resource: Resource) -> None:
        """Refuse a resource that does not exist, for which the answer is empty, too.

        Raises
        ------
        _NotAsked
        """
        if self._request("GET", resource).status_code == 404:
            raise _absent(resource)

    def _request(self, method: str, resource: Resource, ending: str = "", **more: Any) -> Any:
        import requests  # here, because its import takes a fifth of invoke's start

        url = f"{address(self._endpoints, resource.api, quote(resource.path, safe='/@'))}{ending}"
        wrong = f"{resource.title}: no answer from {urlsplit(url).hostname}"
        for left in reversed(range(TRIES)):
            try:
                answer = requests.request(
                    method,
                    url,
                    headers=self._headers,
                    timeout=ANSWER_SECONDS,
                    allow_redirects=False,  # the token is for this host alone
                    verify=self._certificates,
                    **more,
                )
            except requests.RequestException as error:
                wrong = (
                    f"{resource.title}: no connection to {urlsplit(url).hostname} ({type(error).__name__})"
                )
            else:
                if answer.status_code < 500 and answer.status_code != 429:
                    return answer
                wrong = f"{resource.title}: {resource.api} answers {answer.status_code}"
            if left:
                time.sleep(PAUSE_SECONDS)
        raise UserError(f"{wrong}{TRY_AGAIN}", exit_code=75)


def address(endpoints: Mapping[str, str], api: str, path: str) -> str:
    """Return the address of a path as gcloud does: an override without a path replaces only the host.

    gcloud's own endpoint of Cloud Storage ends with storage/v1/, which an override with a path replaces.
    """
    override = endpoints.get(api, "")
    if not override:
        return f"https://{api}.googleapis.com/{path}"
    has_path = urlsplit(override).path not in ("", "/")
    rest = path.removeprefix("storage/v1/") if has_path else path
    return f"{override.rstrip('/')}/{rest}"


def _checked(answer: Any, resource: Resource) -> dict[str, Any]:
    """Return what a service answers.

    Raises
    ------
    _NotAsked
        It has no such resource, or refuses to answer.
    UserError
        It rejects the token.
    """
    try:
        said = answer.json()
    except ValueError:
        said = {}
    said = said if isinstance(said, dict) else {}
    if answer.status_code == 200:
        return said
    if answer.status_code == 401:
        raise UserError("the login has expired", fix="gcloud auth login")
    if answer.status_code == 404:
        raise _absent(resource)
    error = said.get("error")
    message = error.get("message", "") if isinstance(error, dict) else ""
    if "SERVICE_DISABLED" in answer.text or "accessNotConfigured" in answer.text:
        message = f"the API {resource.api}.googleapis.com is not enabled"
    raise _NotAsked(f"{resource.title}: {one_line(message or f'answer {answer.status_code}', 200)}")


def _absent(resource: Resource) -> _NotAsked:
    return _NotAsked(f"{resource.title} does not exist", is_absent=True)
