"""What is not emulated: a valid build that uses it is refused instead of being run differently."""

from collections.abc import Iterator, Mapping
from typing import Any

from localcloud.messages import ApiError

_OF_BUILD = ("artifacts", "secrets", "gitConfig", "dependencies")
_OF_SOURCE = ("repoSource", "gitSource", "storageSourceManifest", "connectedRepository")
_OF_SECRETS = ("inline",)
_OF_OPTIONS = (
    *("env", "secretEnv", "volumes", "workerPool", "pool"),
    *("dynamicSubstitutions", "automapSubstitutions"),
)
_OF_STEP = ("script", "volumes", "timeout", "allowExitCodes", "automapSubstitutions")


def check_is_emulated(build: Mapping[str, Any]) -> None:
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
