"""What Infrastructure Manager refuses at once: a request that does not describe a deployment or a preview.

REST API v1: https://cloud.google.com/infrastructure-manager/docs/reference/rest. What a blueprint's files say
is looked at later, by the operation.
"""

import re
from collections.abc import Mapping
from typing import Any

from localcloud.iam import AccountService
from localcloud.infra.versions import SUPPORTED, NotAConstraint, newest_admitted
from localcloud.messages import ApiError

_ID = re.compile(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?")
_LOCATION = re.compile(r"[a-z]+-[a-z]+[0-9]+")
_ACCOUNT = re.compile(r"projects/([^/]+)/serviceAccounts/([^/@]+@[^/]+)")
_GCS = re.compile(r"gs://[a-z0-9][a-z0-9._-]+(/.*)?")
_LABEL = re.compile(r"[a-z0-9_-]{0,63}")
_COMMON = {
    "annotations",
    "artifactsGcsBucket",
    "labels",
    "name",
    "serviceAccount",
    "terraformBlueprint",
    "tfVersionConstraint",
    "workerPool",
}
DEPLOYMENT_FIELDS = _COMMON | {"importExistingResources", "quotaValidation"}
PREVIEW_FIELDS = _COMMON | {"deployment", "previewMode"}
MODES = ("DEFAULT", "DELETE")

Settings = dict[str, Any]


def check_place(kind: str, location: str, name: str) -> None:
    if not _LOCATION.fullmatch(location):
        raise invalid(f"location {location!r} is not a region such as us-central1")
    if not _ID.fullmatch(name):
        raise invalid(
            f"{kind} id {name!r} must have 1 to 63 lowercase letters, digits and -, and begin with a letter"
        )


def check_settings(asked: Settings, fields: set[str], project: str, accounts: AccountService) -> None:
    """Refuse settings that are unknown, unfit, or name an account that the caller may not act as."""
    if unknown := sorted(asked.keys() - fields):
        raise invalid(f"{unknown[0]} is not a setting that can be made")
    _check_texts(asked)
    _check_blueprint(asked.get("terraformBlueprint"))
    if "artifactsGcsBucket" in asked and not _GCS.fullmatch(str(asked["artifactsGcsBucket"])):
        raise invalid("artifactsGcsBucket must be gs://BUCKET or gs://BUCKET/FOLDER")
    source, artifacts = asked["terraformBlueprint"]["gcsSource"], asked.get("artifactsGcsBucket", "")
    if f"{artifacts}/".startswith(f"{source.rstrip('/')}/"):
        raise invalid("artifactsGcsBucket lies within gcs_source, which would become a part of the blueprint")
    accounts.act_as(account_of(asked), project)


def account_of(asked: Mapping[str, Any]) -> str:
    """Return the e-mail of the account that applies a blueprint."""
    given = asked.get("serviceAccount")
    if not given:
        raise invalid("service_account is required: projects/PROJECT/serviceAccounts/EMAIL")
    found = _ACCOUNT.fullmatch(str(given))
    if not found:
        raise invalid(f"service_account {given!r} must be projects/PROJECT/serviceAccounts/EMAIL")
    return found[2]


def version_of(asked: Mapping[str, Any]) -> str:
    """Return the version of Terraform for settings: the newest that their constraint admits."""
    constraint = str(asked.get("tfVersionConstraint") or "")
    try:
        found = newest_admitted(constraint)
    except NotAConstraint as mistake:
        raise invalid(f"tf_version_constraint: {mistake}") from mistake
    if found is None:
        raise invalid(
            f'tf_version_constraint "{constraint}" admits none of the versions of Terraform that are '
            f"supported: {', '.join(SUPPORTED)}"
        )
    return found


def inputs_of(blueprint: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of a blueprint's variables."""
    return {name: each["inputValue"] for name, each in blueprint.get("inputValues", {}).items()}


def _check_texts(asked: Settings) -> None:
    for name in ("labels", "annotations"):
        values = asked.get(name, {})
        if not isinstance(values, dict) or not all(isinstance(value, str) for value in values.values()):
            raise invalid(f"{name} must be texts by name")
    for name, value in asked.get("labels", {}).items():
        if not name or not _LABEL.fullmatch(name) or not _LABEL.fullmatch(value):
            raise invalid(f"label {name}={value}: lowercase letters, digits, _ and -, at most 63")
    if asked.get("previewMode", MODES[0]) not in MODES:
        raise invalid(f"preview_mode must be one of {', '.join(MODES)}")


def _check_blueprint(blueprint: Any) -> None:
    if not isinstance(blueprint, dict):
        raise invalid("terraform_blueprint is required")
    if "gitSource" in blueprint:
        raise invalid("localcloud takes a blueprint from Cloud Storage only, not from git")
    source = blueprint.get("gcsSource")
    if not isinstance(source, str) or not _GCS.fullmatch(source):
        raise invalid("terraform_blueprint.gcs_source must be gs://BUCKET or gs://BUCKET/OBJECT")
    values = blueprint.get("inputValues", {})
    if not isinstance(values, dict):
        raise invalid("terraform_blueprint.input_values must be values by name")
    for name, each in values.items():
        if not isinstance(each, dict) or each.keys() != {"inputValue"}:
            raise invalid(f"input value {name} must be an inputValue")
        if not isinstance(each["inputValue"], str | int | float):
            raise invalid(f"input value {name} must be a scalar: a string, a number or a bool")


def invalid(reason: str) -> ApiError:
    return ApiError(400, f"The request was invalid: {reason}")
