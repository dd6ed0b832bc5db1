"""Sets the policies of an emulated cloud through its APIs, as an apply does, in the name of its owner."""

from collections.abc import Iterable, Mapping
from typing import Any

from localcloud.members import OWNER, token_of
from localcloud.rights.grants import Grant
from localcloud.rights.resources import BUCKET
from ops.failures import UserError
from ops.gpu.rights import CONDITIONS_VERSION, with_bindings

ANSWER_SECONDS = 10
AS_OWNER = {"Authorization": f"Bearer {token_of(OWNER)}"}
TITLE = "from the plan"  # a condition must have one, and a grant has none
MISSING, EXISTS = 404, 409


def give(storage: str, apis: str, grants: Iterable[Grant], replaces: bool = False) -> list[str]:
    """Add grants to the policies of their resources; return the resources that do not exist.

    With `replaces`, a policy that gets a grant loses its other bindings.

    Raises
    ------
    UserError
        A policy was refused, as when it names an account that does not exist.
    """
    by_holder: dict[str, list[Grant]] = {}
    for grant in grants:
        by_holder.setdefault(grant.holder, []).append(grant)
    missing = []
    for holder, wanted in by_holder.items():
        policy = policy_of(storage, apis, holder)
        if policy is None:
            missing.append(holder)
            continue
        there = {**policy, "bindings": []} if replaces else policy
        _set(storage, apis, holder, with_bindings(there, _bindings(wanted)))
    return missing


def clear(storage: str, apis: str, holder: str) -> None:
    """Empty the policy of a resource, if that exists."""
    policy = policy_of(storage, apis, holder)
    if policy is not None:
        _set(storage, apis, holder, {**policy, "bindings": []})


def forget_questions(apis: str) -> None:
    """Empty the record of who was asked for what."""
    _check(_call("DELETE", f"{apis}/_emulator/rights"), "the record")


def make_secret(apis: str, holder: str) -> None:
    """Make a secret without a version, unless it is there."""
    secrets, _, name = holder.rpartition("/")
    answer = _call("POST", f"{apis}/v1/{secrets}?secretId={name}", {"replication": {"automatic": {}}})
    if answer.status_code != EXISTS:
        _check(answer, holder)


def _bindings(grants: Iterable[Grant]) -> list[dict[str, Any]]:
    found: dict[tuple[str, str], list[str]] = {}
    for grant in grants:
        found.setdefault((grant.role, grant.condition), []).append(grant.member)
    return [
        {"role": role, "members": sorted(set(members))}
        | ({"condition": {"title": TITLE, "expression": condition}} if condition else {})
        for (role, condition), members in found.items()
    ]


def policy_of(storage: str, apis: str, holder: str) -> dict[str, Any] | None:
    """Return the policy of a resource; None if there is no such resource."""
    if holder.startswith(BUCKET):
        answer = _call("GET", _bucket_url(storage, holder))
    else:
        # accounts and projects are asked by POST: https://cloud.google.com/iam/docs/reference/rest
        by_post = "/locations/" not in holder and "/secrets/" not in holder
        answer = _call("POST" if by_post else "GET", f"{apis}/v1/{holder}:getIamPolicy")
    if answer.status_code == MISSING:
        return None
    _check(answer, holder)
    return answer.json()


def _set(storage: str, apis: str, holder: str, policy: Mapping[str, Any]) -> None:
    policy = {**policy, "version": CONDITIONS_VERSION}
    if holder.startswith(BUCKET):
        answer = _call("PUT", _bucket_url(storage, holder), policy)
    else:
        answer = _call("POST", f"{apis}/v1/{holder}:setIamPolicy", {"policy": policy})
    _check(answer, holder)


def _bucket_url(storage: str, holder: str) -> str:
    return f"{storage}/storage/v1/b/{holder.removeprefix(BUCKET)}/iam?optionsRequestedPolicyVersion=3"


def _call(method: str, url: str, body: Mapping[str, Any] | None = None) -> Any:
    import requests  # here, because its import takes a fifth of invoke's start

    return requests.request(method, url, json=body, headers=AS_OWNER, timeout=ANSWER_SECONDS)


def _check(answer: Any, holder: str) -> None:
    if answer.ok:
        return
    try:
        reason = answer.json()["error"]["message"]
    except (ValueError, LookupError, TypeError):
        reason = f"status {answer.status_code}"
    raise UserError(f"the policy of {holder} cannot be set: {reason}")
