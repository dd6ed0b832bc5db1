"""Members of an emulated project that enforces rights: what they ask for, and the roles they are given."""

import itertools

import requests

from localcloud.members import member, token_of
from localcloud.process import Cloud
from tests.emulated import post, request
from tests.localcloud.jobs import PROJECT

_numbers = itertools.count(1)
OF_PROJECT = f"/v1/projects/{PROJECT}"


class Member:
    """A person or an account without any role at first; `name` is as policies name it."""

    def __init__(self, cloud: Cloud, email: str = ""):
        self._cloud = cloud
        self.email = email or f"person-{next(_numbers)}@my-lab.example"
        self.name = member(self.email)

    def given(self, *roles: str, on: str = OF_PROJECT) -> "Member":
        """Give it roles on the resource of a path; the owner of the project does it."""
        asks_by_get = "/secrets/" in on or "/repositories/" in on
        url = self._cloud.apis + on
        policy = request("GET" if asks_by_get else "POST", f"{url}:getIamPolicy").json()
        bindings = policy.get("bindings", [])
        bindings += [{"role": f"roles/{role}", "members": [self.name]} for role in roles]
        post(f"{url}:setIamPolicy", {"policy": {**policy, "bindings": bindings}})
        return self

    def ask(self, method: str, path: str, headers_too=(), **more) -> requests.Response:
        headers = {"Authorization": f"Bearer {token_of(self.name)}", **dict(headers_too)}
        return requests.request(method, self._cloud.apis + path, headers=headers, timeout=30, **more)

    def get(self, path: str) -> dict:
        """Return what it reads, which it must be allowed to."""
        answer = self.ask("GET", path)
        assert answer.status_code == 200, answer.text
        return answer.json()


def account(cloud: Cloud) -> Member:
    """Create a service account."""
    account_id = f"account-{next(_numbers)}"
    post(f"{cloud.apis}{OF_PROJECT}/serviceAccounts", {"accountId": account_id})
    return Member(cloud, f"{account_id}@{PROJECT}.iam.gserviceaccount.com")


def path_of(account: Member) -> str:
    return f"{OF_PROJECT}/serviceAccounts/{account.email}"


def denied(answer: requests.Response) -> str:
    """Return the permission that a refusal names."""
    assert answer.status_code == 403, answer.text
    info = answer.json()["error"]["details"][-1]
    assert info["reason"] == "IAM_PERMISSION_DENIED"
    return info["metadata"]["permission"]
