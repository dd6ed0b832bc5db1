"""Who may do what: roles of the lane's accounts in the project and on its buckets.

Each account has only what its work needs. The right to call a service is given when it is deployed.
"""

from collections.abc import Mapping
from typing import Any

from ops.gpu.found import Found
from ops.gpu.names import SERVICES, Names

PUBLISHER = "roles/pubsub.publisher"
READ, WRITE, SEE = (f"roles/storage.{role}" for role in ("objectViewer", "objectUser", "legacyBucketReader"))
CONDITIONS_VERSION = 3  # of a policy that has conditions
Binding = dict[str, Any]


def project_roles(names: Names, found: Found) -> list[tuple[str, str]]:
    """Return the roles in the project that are missing, each with its member."""
    wanted = [
        ("roles/logging.logWriter", names.member("workflow")),
        ("roles/workflows.viewer", names.member("workflow")),  # whether the holder of a claim is at work
        ("roles/eventarc.eventReceiver", names.member("trigger")),
        ("roles/workflows.invoker", names.member("trigger")),
        (PUBLISHER, storage_agent(found)),
    ]
    return [each for each in wanted if each not in (*found.grants, *found.others_grants)]


def storage_agent(found: Found) -> str:
    """Return the account of Cloud Storage that sends a bucket's events."""
    return f"serviceAccount:service-{found.project_number}@gs-project-accounts.iam.gserviceaccount.com"


def bucket_bindings(names: Names, bucket: str) -> list[Binding]:
    """Return the bindings of one of the buckets; an account reaches only the folders that it needs."""
    return {
        "input": [_binding(names, READ, ["preprocess"])],
        "models": [_binding(names, READ, ["preprocess", "inference"])],
        "output": [
            _binding(names, WRITE, SERVICES, folder="work/"),
            _binding(names, SEE, SERVICES),  # else an object that is not there is a 403
            _binding(names, READ, ["preprocess"], folder="results/"),  # is the result there already?
            _binding(names, WRITE, ["postprocess"], folder="results/"),
            _binding(names, WRITE, ["workflow"], folder="work/", ending="/claim.json"),
        ],
    }[bucket]


def _binding(
    names: Names, role: str, accounts: list[str] | tuple[str, ...], folder: str = "", ending: str = ""
) -> Binding:
    members = sorted(names.member(account) for account in accounts)
    if not folder:
        return {"role": role, "members": members}
    objects = f"projects/_/buckets/{names.bucket('output')}/objects/{folder}"
    expression = f'resource.name.startsWith("{objects}")'
    if ending:
        expression += f' && resource.name.endsWith("{ending}")'
    title = f"{folder}*{ending}"
    return {"role": role, "members": members, "condition": {"title": title, "expression": expression}}


def with_bindings(policy: Mapping[str, Any], wanted: list[Binding]) -> dict[str, Any]:
    """Return a policy with further bindings; the policy itself if it has them all."""
    there = [dict(each) for each in policy.get("bindings", [])]
    for binding in wanted:
        same = next((each for each in there if _kind(each) == _kind(binding)), None)
        if same is None:
            there.append(binding)
        else:
            same["members"] = sorted({*same["members"], *binding["members"]})
    return {**policy, "bindings": there, "version": CONDITIONS_VERSION}


def has_bindings(policy: Mapping[str, Any], wanted: list[Binding]) -> bool:
    """Return whether a policy has all of some bindings."""
    members = {}
    for each in policy.get("bindings", []):
        members.setdefault(_kind(each), set()).update(each["members"])
    return all(set(each["members"]) <= members.get(_kind(each), set()) for each in wanted)


def _kind(binding: Binding) -> tuple[str, str]:
    return binding["role"], binding.get("condition", {}).get("expression", "")
