"""The real Terraform on a blueprint: init and plan, which also validates. It applies nothing.

It runs only where the emulator was started with --terraform, whose file names where its providers come from:
https://developer.hashicorp.com/terraform/cli/config/config-file#provider-installation.
"""

import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from localcloud.child import CannotStart, Child, Command
from localcloud.rights.actors import Actor
from localcloud.strict_json import object_in

STEP_SECONDS = 300.0  # of one command
Log = Callable[[str], None]


@dataclass(frozen=True)
class Mistake:
    """An error of Terraform, in one line, and the resource it is about, if any."""

    text: str
    address: str = ""


@dataclass
class Plan:
    """What came of a plan; `content` and `resources` are empty if there are mistakes."""

    mistakes: list[Mistake] = field(default_factory=list)
    content: bytes = b""  # as Terraform writes it
    resources: bytes = b""  # as `terraform show -json` prints it


@dataclass(frozen=True)
class Terraform:
    """Terraform with the configuration file of its command line; without an actor it reaches no service."""

    configuration: Path
    folder: Path  # where blueprints are planned, each in a folder of its own
    actor: Actor | None = None

    def version(self) -> str:
        """Return the version that is installed; empty without one."""
        lines: list[str] = []
        with self._own_folder() as folder:
            self._run(["version", "-json"], folder, lines.append, lines.append)
        return str((object_in("".join(lines)) or {}).get("terraform_version", ""))

    def plan(self, files: Mapping[str, bytes], inputs: Mapping[str, Any], destroys: bool, log: Log) -> Plan:
        """Return the plan for a blueprint that keeps the rules, made in a folder of its own."""
        with self._own_folder() as folder:
            root = folder / "root"
            try:
                _write(files, root)
            except (OSError, ValueError) as error:  # an object may have any name
                return Plan([Mistake(f"the blueprint's files cannot lie in a folder: {error}")])
            values = folder / "inputs.tfvars.json"
            values.write_text(json.dumps(dict(inputs)))
            return self._planned(root, values, destroys, log)

    def _planned(self, root: Path, values: Path, destroys: bool, log: Log) -> Plan:
        said: list[str] = []
        if self._run(["init", "-backend=false", "-input=false", "-no-color"], root, log, said.append):
            return Plan([Mistake(" ".join(line.strip("│╷╵ ") for line in said).strip())])
        found: list[dict[str, Any]] = []
        follow = _follower(found, log)
        destroy = ["-destroy"] if destroys else []
        words = ["plan", "-json", "-input=false", f"-var-file={values}", "-out=tfplan", *destroy]
        code = self._run(words, root, follow, log)
        if mistakes := _mistakes(found):
            return Plan(mistakes)
        if code:
            return Plan([Mistake(f"terraform plan ended with exit code {code}")])
        self._run(["show", "-json", "tfplan"], root, log, log, into=root / "tfplan.json")
        return Plan([], (root / "tfplan").read_bytes(), (root / "tfplan.json").read_bytes())

    def _run(
        self, words: list[str], folder: Path, on_out: Log, on_error: Log, into: Path | None = None
    ) -> int:
        """Run Terraform in a folder, with its output in a file if one is given; return its exit code."""
        program = shutil.which("terraform")
        if not program:
            on_error("terraform is not installed")
            return 127
        argv = [program, *words]
        if into:  # a line may be longer than those of a log
            argv = ["sh", "-c", 'exec "$@" > "$0"', str(into), *argv]
        with self._own_folder() as own:
            command = Command(argv, self._environment(), own, start_in=folder)
            try:
                child = Child(command)
            except CannotStart as error:
                on_error(str(error))
                return 127

            def on_line(line: str, is_error: bool) -> None:
                (on_error if is_error else on_out)(line)

            return child.follow(on_line, time.monotonic() + STEP_SECONDS)

    @contextmanager
    def _own_folder(self) -> Iterator[Path]:
        self.folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self.folder) as folder:
            yield Path(folder)

    def _environment(self) -> dict[str, str]:
        """Return our environment without settings of Terraform, and with the emulated services."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("TF_", "GOOGLE_"))}
        return {
            **kept,
            **(_access(self.actor) if self.actor else {}),
            "TF_CLI_CONFIG_FILE": str(self.configuration),
            "TF_IN_AUTOMATION": "1",
            "CHECKPOINT_DISABLE": "1",
        }


def _access(actor: Actor) -> dict[str, str]:
    return {
        "GOOGLE_OAUTH_ACCESS_TOKEN": actor.token,
        "GOOGLE_STORAGE_CUSTOM_ENDPOINT": f"{actor.door['storage']}/storage/v1/",
        "GOOGLE_ARTIFACT_REGISTRY_CUSTOM_ENDPOINT": f"{actor.door['apis']}/v1/",
    }


def _write(files: Mapping[str, bytes], root: Path) -> None:
    root.mkdir()
    for path, content in files.items():
        target = (root / path).resolve()
        if not target.is_relative_to(root.resolve()):
            raise ValueError(f"{path} is outside")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)


def _follower(found: list[dict[str, Any]], log: Log) -> Log:
    """Return what takes lines of `terraform plan -json`: messages go to the log, diagnostics to `found`."""

    def follow(line: str) -> None:
        event = object_in(line) or {"@message": line}
        log(str(event.get("@message", "")))
        if "diagnostic" in event:
            found.append(event["diagnostic"])

    return follow


def _mistakes(diagnostics: list[dict[str, Any]]) -> list[Mistake]:
    return [_mistake(each) for each in diagnostics if each.get("severity") == "error"]


def _mistake(diagnostic: Mapping[str, Any]) -> Mistake:
    place = diagnostic.get("range") or {}
    line = (place.get("start") or {}).get("line")
    where = f"{place.get('filename')}:{line}: " if line else ""
    detail = " ".join(str(diagnostic.get("detail", "")).split())
    text = f"{where}{diagnostic.get('summary', '')}"
    return Mistake(f"{text}: {detail}" if detail else text, str(diagnostic.get("address", "")))
