"""Uploads to the GPU lane: their executions and results, and the health of its services.

Many people may upload at the same time, also files of the same name. The execution of an upload is the one
whose argument has the upload's name and generation.
"""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

from modeling.refusals import MAY_NOT_COUNT_YET
from ops.cloud.cloud import Cloud
from ops.cloud.executions import ENDED, reason_of, result_of
from ops.failures import UserError
from ops.gcloud import AT_ONCE, GcloudError, Refusal, in_parallel, upload
from ops.gpu.names import SERVICES, Names
from ops.polling import poll, print_timed
from ops.terminal import nearest

START_SECONDS = 300  # until an event starts an execution; a new trigger needs two minutes
END_SECONDS = 3600  # of an execution: two cold starts, and retries for ten minutes
UPLOAD_SECONDS = 1800
PAUSE_SECONDS = 0.5  # gcloud itself takes a second
NEWEST = 100  # executions that a list has
MARGIN = timedelta(hours=1)  # an upload takes its time, and the clock here may be wrong

OF_RESULT = {"device", "failed", "files", "model", "seconds", "summary", "units"}

Answer = TypeVar("Answer")


@dataclass
class Uploads:
    """The uploads to a lane that is deployed."""

    cloud: Cloud
    names: Names
    _arguments: dict[str, dict[str, Any]] = field(default_factory=dict)  # of the executions seen so far

    def health(self) -> dict[str, dict[str, Any]]:
        """Return the answer of each service to /health; the workflow asks, since nobody else reaches them.

        Raises
        ------
        UserError
            The lane is not deployed, or a service is not healthy (exit code 1).
        """
        words = ["workflows", "execute", self.names.workflow, "--data", '{"check": true}']
        try:
            started = self.cloud.read_json([*words, *self.cloud.in_region], echo=False)
        except GcloudError as error:
            if error.refusal is not Refusal.MISSING:
                raise
            raise not_deployed(self.names) from None
        if started is None:
            return {}
        found = self.ended(_id(started))
        for name in SERVICES:
            answer = found.get(name, {})
            if answer.get("status") != "ok":
                raise UserError(f"{name} is not healthy: {json.dumps(answer)}", exit_code=1)
        return found

    def upload(self, file: Path, name: str) -> str:
        """Upload a file, and return its generation; "" in a dry run."""
        to = f"gs://{self.names.bucket('input')}/{name}"
        words = [nearest(file), *self.cloud.in_project]
        return upload(self.cloud.shell, words, to, timeout_seconds=UPLOAD_SECONDS, echo=False)

    def execution_of(self, name: str, generation: str) -> str:
        """Return the execution that an upload of a moment ago has started, once it is there."""
        since = datetime.now(UTC) - MARGIN

        def found() -> str:
            self.look(since)
            own = (name, generation)
            return next((each for each, data in self._arguments.items() if _upload(data) == own), "")

        problem = f"no execution was started by {name}, generation {generation}"
        return _awaited(found, START_SECONDS, problem, f"; {MAY_NOT_COUNT_YET}")

    def look(self, since: datetime) -> None:
        """Read the arguments of the newest executions since a time, without those that were read before."""
        words = ["workflows", "executions", "list", self.names.workflow, *self.cloud.in_region]
        listed = self.cloud.read_json([*words, "--limit", str(NEWEST)], echo=False) or []
        recent = [_id(each) for each in listed if _begun(each) >= since]
        new = [each for each in recent if each not in self._arguments]
        described = in_parallel([lambda each=each: self.describe(each) for each in new], AT_ONCE)
        for execution, found in zip(new, described, strict=True):
            self._arguments[execution] = argument_of(found)

    def describe(self, execution: str) -> dict[str, Any]:
        """Return an execution as Workflows describes it."""
        where = ["--workflow", self.names.workflow, *self.cloud.in_region]
        words = ["workflows", "executions", "describe", execution, *where]
        return self.cloud.read_json(words, echo=False) or {}

    def ended(self, execution: str) -> dict[str, Any]:
        """Return the result of an execution once it has ended; of a duplicate, that of the first.

        Raises
        ------
        UserError
            It did not succeed: its reason, and exit code 1.
        """

        def found() -> dict[str, Any] | None:
            described = self.describe(execution)
            return described if described["state"] in ENDED else None

        ended = _awaited(found, END_SECONDS, f"execution {execution} did not end")
        if ended["state"] != "SUCCEEDED":
            raise UserError(f"execution {execution}: {reason_of(ended)}", exit_code=1)
        result = result_of(ended)
        if result.get("status") == "duplicate":
            return self.ended(result["duplicate_of"])
        return result

    def result(self, ended: dict[str, Any]) -> dict[str, Any]:
        """Return result.json, which the result of an execution names."""
        if ended.get("status") != "done" or "result" not in ended:
            raise UserError(f"the execution returned {json.dumps(ended)}", exit_code=1)
        try:
            found = json.loads(self.cloud.read(["storage", "cat", ended["result"]], echo=False))
        except ValueError:
            found = None
        if not isinstance(found, dict) or not found.keys() >= OF_RESULT:
            raise UserError(f"{ended['result']} is no result of a service", exit_code=1)
        return found


def not_deployed(names: Names) -> UserError:
    """Return the refusal of what needs a lane where there is none."""
    return UserError(
        f"the GPU lane {names.stem} is not deployed in {names.region} of {names.project}",
        fix="invoke gpu-deploy",
    )


def argument_of(described: dict[str, Any]) -> dict[str, Any]:
    """Return what an execution was started with: the data of an event, or what a person gave."""
    try:
        read = json.loads(described.get("argument") or "{}")
    except ValueError:
        return {}
    data = read.get("data", read) if isinstance(read, dict) else {}
    return data if isinstance(data, dict) else {}


def _begun(execution: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(execution.get("startTime") or execution["createTime"])


def _upload(argument: dict[str, Any]) -> tuple[str, str]:
    return str(argument.get("name", "")), str(argument.get("generation", ""))


def _awaited(ask: Callable[[], Answer], seconds: float, problem: str, hint: str = "") -> Answer:
    """Return the first answer that is not empty; refuse with the problem when the time is over."""
    deadline = time.monotonic() + seconds
    for found in poll(ask, print_timed, PAUSE_SECONDS):
        if found:
            return found
        if time.monotonic() > deadline:
            break
    raise UserError(f"{problem} within {seconds:.0f} s{hint}", exit_code=1)


def _id(execution: dict[str, Any]) -> str:
    return execution["name"].rpartition("/")[2]
