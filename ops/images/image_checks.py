"""Structure tests of an image: with container-structure-test where it is installed, else with plain Docker.

Run by itself it takes that tool's arguments:

    python -m ops.images.image_checks test --image IMAGE --config docker/container-structure-test.yaml
"""

import argparse
import json
import re
import secrets
import shutil
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from ops.failures import TEMPORARY_FAULT, UserError
from ops.settings import ROOT
from ops.shell import Ended, Shell
from ops.terminal import counted, nearest

TOOL = "container-structure-test"
_LOCAL = ROOT / "docker" / "container-structure-test.yaml"
_CLOUD, _SERVICE, _INFERENCE = (
    _LOCAL.with_suffix(f".{kind}.yaml") for kind in ("cloud", "service", "inference")
)
CONFIGS = {
    "local": [_LOCAL],
    "cloud": [_LOCAL, _CLOUD],
    "service": [_LOCAL, _CLOUD, _SERVICE],
    "inference": [_LOCAL, _CLOUD, _SERVICE, _INFERENCE],
}
# a variable by which an image of a kind is known, the most particular kind first; without any it is local
KINDS = {
    "inference": "SERVICE=inference",
    "service": "LISTEN_HOST=0.0.0.0",
    "cloud": "EXECUTION_MODE=cloud",
}
TEST_SECONDS = 120

# the tool replaces variables of the image here, which could change a command silently
_NO_DOLLAR = ("command", "args")
# keys of the tool's format that are supported here; others are refused, not ignored
_KEYS = {
    "": {"schemaVersion", "commandTests", "fileExistenceTests", "metadataTest"},
    "commandTests": {
        *("name", "command", "args", "exitCode", "envVars"),
        *("expectedOutput", "excludedOutput", "expectedError", "excludedError"),
    },
    "fileExistenceTests": {"name", "path", "shouldExist", "permissions", "isExecutableBy"},
    "metadataTest": {"user", "workdir", "cmd", "envVars", "labels"},
}


def check_image(shell: Shell, image: str, configs: list[Path]) -> None:
    """Run every test of the files against an image.

    Raises
    ------
    UserError
        A test failed, or the image does not exist.
    """
    if shutil.which(TOOL):
        words = [TOOL, "test", f"--image={image}", *(f"--config={nearest(config)}" for config in configs)]
        if shell.stream(words):
            raise UserError(f"{image} does not pass its tests, see above", exit_code=1)
        return
    shell.echo(["docker", "run", "--rm", image], note=f"for each test of {', '.join(map(nearest, configs))}")
    if shell.dry_run:
        return
    inside, number, failed = Inside(shell, image), 0, 0
    for config in configs:
        for name, problems in inside.results(_read(config)):
            number, failed = number + 1, failed + bool(problems)
            lines = [f"{'failed' if problems else 'ok    '}  {name}", *(f"        {p}" for p in problems)]
            print("\n".join(lines), flush=True)
    if failed:
        raise UserError(f"{image}: {failed} of {counted(number, 'test')} failed", exit_code=1)
    print(f"{image}: {counted(number, 'test')} passed")


def _read(config: Path) -> dict[str, Any]:
    try:
        tests = yaml.safe_load(config.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise UserError(f"{nearest(config)}: cannot be read ({' '.join(str(error).split())})") from None
    for section, known in _KEYS.items():
        found = tests if not section else tests.get(section, [])
        for entry in found if isinstance(found, list) else [found]:
            if unknown := sorted(set(entry) - known):
                raise UserError(
                    f'{nearest(config)}: "{unknown[0]}" is only read by {TOOL}; install it, or remove the key'
                )
            if any("$" in str(entry.get(key, "")) for key in _NO_DOLLAR):
                raise UserError(
                    f'{nearest(config)}: "{entry["name"]}" contains a $, which {TOOL} would replace'
                )
    return tests


class Inside:
    """The tests of one image; each program runs in its own container."""

    def __init__(self, shell: Shell, image: str):
        self.shell, self.image = shell, image

    def results(self, tests: Mapping[str, Any]) -> Iterator[tuple[str, list[str]]]:
        """Yield each test's name and its problems."""
        for test in tests.get("commandTests", []):
            yield test["name"], list(self._command_problems(test))
        for test in tests.get("fileExistenceTests", []):
            yield test["name"], list(self._file_problems(test))
        if "metadataTest" in tests:
            yield "metadata of the image", list(self._metadata_problems(tests["metadataTest"]))

    def _command_problems(self, test: Mapping[str, Any]) -> Iterator[str]:
        pairs = [f"{each['key']}={each['value']}" for each in test.get("envVars", [])]
        options = [word for pair in pairs for word in ("-e", pair)]
        done = self._run(test["command"], [str(word) for word in test.get("args", [])], options)
        if done.exit_code != test.get("exitCode", 0):
            yield f"exit code {done.exit_code}, not {test.get('exitCode', 0)}: {done.errors.strip()[-300:]}"
        for key, text in (("Output", done.output), ("Error", done.errors)):
            for pattern in test.get(f"expected{key}", []):
                if not _pattern(pattern).search(text):
                    yield f'"{pattern}" is not in the {key.lower()}: {text.strip()[-300:]!r}'
            for pattern in test.get(f"excluded{key}", []):
                if found := _pattern(pattern).search(text):
                    yield f'"{pattern}" is in the {key.lower()}: {found[0]!r}'

    def _file_problems(self, test: Mapping[str, Any]) -> Iterator[str]:
        permissions = self._run("stat", ["-L", "-c", "%A", test["path"]], []).output.strip()
        if bool(permissions) != test.get("shouldExist", True):
            yield f"{test['path']} {'exists' if permissions else 'is missing'}"
        elif permissions and test.get("permissions", permissions) != permissions:
            yield f"{test['path']} has {permissions}, not {test['permissions']}"
        elif test.get("isExecutableBy") and "x" not in permissions:
            yield f"{test['path']} cannot be executed ({permissions})"

    def _metadata_problems(self, test: Mapping[str, Any]) -> Iterator[str]:
        inspect = ["docker", "image", "inspect", self.image]
        config = json.loads(self.shell.read(inspect, timeout_seconds=TEST_SECONDS, echo=False))[0]["Config"]
        for key, name in (("user", "User"), ("workdir", "WorkingDir"), ("cmd", "Cmd")):
            if key in test and config.get(name) != test[key]:
                yield f"{name} is {config.get(name)!r}, not {test[key]!r}"
        variables = dict(entry.partition("=")[::2] for entry in config.get("Env") or [])
        for kind, present in (("envVars", variables), ("labels", config.get("Labels") or {})):
            for wanted in test.get(kind, []):
                value = present.get(wanted["key"])
                pattern = wanted["value"] if wanted.get("isRegex") else re.escape(wanted["value"])
                if value is None or not re.fullmatch(pattern, value):
                    yield f"{wanted['key']} is {value!r}, not {wanted['value']!r}"

    def _run(self, command: str, words: list[str], options: list[str]) -> Ended:
        """Run one program in the image, without a network."""
        name = f"image-test-{secrets.token_hex(6)}"
        run = ["docker", "run", "--rm", "--name", name, "--network", "none", "--entrypoint", command]
        try:
            return self.shell.run_always([*run, *options, self.image, *words], timeout_seconds=TEST_SECONDS)
        except BaseException as error:
            # the container outlives the client
            self.shell.capture(["docker", "rm", "--force", name], timeout_seconds=TEST_SECONDS)
            if getattr(error, "exit_code", None) != TEMPORARY_FAULT:
                raise
            return Ended(124, "", f"did not end in {TEST_SECONDS} s")


def _pattern(text: str) -> re.Pattern:
    """Return a pattern with the tool's meaning of $: the end of the text, not of the last line."""
    return re.compile(re.sub(r"(?<!\\)\$", r"\\Z", text))


def main() -> int:
    parser = argparse.ArgumentParser("python -m ops.images.image_checks", description=__doc__)
    parser.add_argument("verb", choices=["test"])
    parser.add_argument("--image", required=True)
    parser.add_argument("--config", type=Path, action="append", required=True)
    arguments = parser.parse_args()
    try:
        check_image(Shell(), arguments.image, arguments.config)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
