"""A submitted build: read as the service's own message type, checked, its substitutions filled in.

https://cloud.google.com/build/docs/build-config-file-schema, .../substitute-variable-values
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from localcloud.messages import ApiError, read_as
from localcloud.projects import PROJECT_NUMBER
from localcloud.times import seconds_of

MAX_STEPS = 300
MAX_SECONDS = 24 * 3600
_KEY = re.compile(r"_[A-Z0-9_]+")
_USED = re.compile(r"\$\$|\$\{(_?[A-Z][A-Z0-9_]*)\}|\$(_?[A-Z][A-Z0-9_]*)")
# built-in substitutions that are empty for an uploaded source
_FROM_REPOSITORY = (
    *("COMMIT_SHA", "SHORT_SHA", "REVISION_ID"),
    *("REPO_NAME", "REPO_FULL_NAME", "BRANCH_NAME", "TAG_NAME"),
)
# fields of a valid build that are not emulated
_OF_BUILD = ("artifacts", "secrets", "gitConfig", "dependencies")
_OF_SOURCE = ("repoSource", "gitSource", "storageSourceManifest", "connectedRepository")
_OF_SECRETS = ("inline",)
_OF_OPTIONS = (
    *("env", "secretEnv", "volumes", "workerPool", "pool"),
    *("dynamicSubstitutions", "automapSubstitutions"),
)
_OF_STEP = ("script", "volumes", "timeout", "allowExitCodes", "automapSubstitutions")
_AS_GIVEN = ("source", "substitutions", "options", "id", "status")


def parse_build(asked: Mapping[str, Any]) -> dict[str, Any]:
    """Return a build as the service reads it.

    Raises
    ------
    ApiError
        400: not a valid Build message, or it breaks a rule that the message type does not check.
    """
    from google.cloud.devtools.cloudbuild_v1 import Build

    build = read_as(Build, asked)
    steps = build.get("steps", [])
    if not 0 < len(steps) <= MAX_STEPS:
        raise ApiError(400, f"invalid build: {len(steps)} steps; 1 to {MAX_STEPS} are allowed")
    _check_steps(steps)
    _check_secrets(build)
    source = build.get("source", {}).get("storageSource")
    if source is not None and not (source.get("bucket") and source.get("object")):
        raise ApiError(400, "invalid build: a storageSource needs a bucket and an object")
    if not 0 < seconds_of(build.get("timeout", "3600s")) <= MAX_SECONDS:
        raise ApiError(400, f"invalid value for 'build.timeout': up to {MAX_SECONDS}s")
    own_account = build.get("serviceAccount", "")
    options = build.get("options", {})
    if own_account and not (
        options.get("logging") in ("CLOUD_LOGGING_ONLY", "NONE")
        or build.get("logsBucket")
        or options.get("defaultLogsBucketBehavior") == "REGIONAL_USER_OWNED_BUCKET"
    ):
        message = (
            "if 'build.service_account' is specified, the build must either (a) specify 'build.logs_bucket', "
            "(b) use the REGIONAL_USER_OWNED_BUCKET build.options.default_logs_bucket_behavior option, or "
            "(c) use either CLOUD_LOGGING_ONLY / NONE logging options"
        )
        raise ApiError(400, message)
    return build


def _check_steps(steps: list[dict[str, Any]]) -> None:
    seen: set[str] = set()
    for number, step in enumerate(steps):
        if not step.get("name"):
            raise ApiError(400, f"invalid build: build step {number} must specify a name")
        if missing := [each for each in step.get("waitFor", []) if each != "-" and each not in seen]:
            raise ApiError(400, f"invalid build: build step {number} waits for {missing[0]}, no earlier step")
        if step.get("id") in seen:
            raise ApiError(400, f"invalid build: the step id {step['id']} is used twice")
        seen.add(step.get("id", ""))


def _check_secrets(build: dict[str, Any]) -> None:
    """Refuse secrets that are used but not available, or available but not used."""
    secrets = build.get("availableSecrets", {}).get("secretManager", [])
    if not all(each.get("env") and each.get("versionName") for each in secrets):
        raise ApiError(400, "invalid secrets: each needs an env and a versionName")
    offered = [each["env"] for each in secrets]
    used = {name for step in build["steps"] for name in step.get("secretEnv", [])}
    if unknown := used - set(offered):
        raise ApiError(400, f"invalid secrets: secretEnv {sorted(unknown)[0]} is not in availableSecrets")
    if unused := set(offered) - used:
        raise ApiError(400, f"invalid secrets: secret {sorted(unused)[0]} is not used in any step")


def substituted(build: dict[str, Any], build_id: str, project: str, location: str) -> dict[str, Any]:
    """Return the build with its substitutions applied.

    Raises
    ------
    ApiError
        400: a key is used without a value, or has a value but is not used (unless ALLOW_LOOSE).
    """
    given = build.get("substitutions", {})
    for key in given:
        if not _KEY.fullmatch(key) and key not in _FROM_REPOSITORY:
            raise _invalid(f'substitution key "{key}" must begin with _ or be built in')
    built_in = {
        "PROJECT_ID": project,
        "PROJECT_NUMBER": PROJECT_NUMBER,
        "BUILD_ID": build_id,
        "LOCATION": location,
    }
    values = {**dict.fromkeys(_FROM_REPOSITORY, ""), **built_in, **given}
    is_loose = build.get("options", {}).get("substitutionOption") == "ALLOW_LOOSE"
    used: set[str] = set()

    def put_in(found: re.Match) -> str:
        key = found[1] or found[2]
        if key is None:
            return "$"
        used.add(key)
        if key not in values and not is_loose:
            raise _invalid(f'key in the template "{key}" is not a valid built-in substitution')
        return values.get(key, "")

    def walk(value: Any) -> Any:
        if isinstance(value, str):
            return _USED.sub(put_in, value)
        if isinstance(value, list):
            return [walk(each) for each in value]
        if isinstance(value, dict):
            return {name: walk(each) for name, each in value.items()}
        return value

    done = {name: value if name in _AS_GIVEN else walk(value) for name, value in build.items()}
    if (unused := sorted(set(given) - used)) and not is_loose:
        raise _invalid(f'key "{unused[0]}" in the substitution data is not matched in the template')
    return done


def _invalid(message: str) -> ApiError:
    return ApiError(400, f"generic::invalid_argument: {message}")


def check_is_emulated(build: Mapping[str, Any]) -> None:
    """Refuse a valid build that uses what is not emulated, instead of running it differently."""
    if missing := list(_not_emulated(build)):
        raise ApiError(400, f"localcloud does not emulate {', '.join(missing)}.")


def _not_emulated(build: Mapping[str, Any]) -> Iterator[str]:
    places = [
        ("", build, _OF_BUILD),
        ("source.", build.get("source", {}), _OF_SOURCE),
        ("availableSecrets.", build.get("availableSecrets", {}), _OF_SECRETS),
        ("options.", build.get("options", {}), _OF_OPTIONS),
        *((f"steps[{number}].", step, _OF_STEP) for number, step in enumerate(build["steps"])),
    ]
    for where, place, names in places:
        yield from (where + name for name in names if name in place)
