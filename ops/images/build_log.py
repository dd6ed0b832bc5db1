"""A running build of Cloud Build: its log as it is written, and its result."""

import re
import sys
import time
from datetime import datetime, timedelta
from typing import Any

from modeling.refusals import MAY_NOT_COUNT_YET
from ops.cloud.cloud import Cloud
from ops.failures import UserError
from ops.gcloud import Refusal

POLL_SECONDS = 5.0
MOST_FAILURES = 5  # failed requests in a row for the state of the build
MOST_SECONDS = 3 * 3600  # a build waits for an hour at most, and runs for one
LATE_SECONDS = 120  # lines may arrive this much later than newer lines
LAST_LINES_SECONDS = 15.0  # wait for the last lines after the end of a build
EXIT_CODES = {"CANCELLED": 130, "EXPIRED": 75, "INTERNAL_ERROR": 75}  # 1 for all others
_DENIAL = re.compile(r"\bdenied\b|does not have \S+ access|\b403\b")
FINISHED = {"SUCCESS", "FAILURE", "INTERNAL_ERROR", "TIMEOUT", "CANCELLED", "EXPIRED"}


def follow(cloud: Cloud, build: dict[str, Any], poll_seconds: float = POLL_SECONDS) -> None:
    """Print the log of a build as it is written, until the build ends; nothing here stops the build.

    Raises
    ------
    UserError
        The build failed (exit code 1), was cancelled (130), or expired or failed inside Cloud Build (75); or
        its state cannot be read, and it is still running.
    KeyboardInterrupt
        The build is still running.
    """
    log = BuildLog(cloud, build)
    still_running = f"build {build['id']} is still running; `invoke build-status` shows it"
    until = time.monotonic() + MOST_SECONDS
    failures = 0
    try:
        while build["status"] not in FINISHED:
            time.sleep(poll_seconds)
            try:
                build = _describe(cloud, build["id"])
                failures = 0
            except UserError as error:
                failures += 1  # a lost answer does not stop the loop
                if failures == MOST_FAILURES:
                    raise UserError(f"{error}; {still_running}", exit_code=error.exit_code) from None
            log.print_new()
            if time.monotonic() > until:
                raise UserError(
                    f"not finished after {MOST_SECONDS // 3600} hours; {still_running}", exit_code=1
                )
        log.print_last()
    except KeyboardInterrupt:
        print(f"\n{still_running}", file=sys.stderr)
        raise
    if build["status"] != "SUCCESS":
        code = EXIT_CODES.get(build["status"], 1)
        raise UserError(f"build {build['id']} ended as {build['status']}{why(build)}", exit_code=code)
    for image in build.get("results", {}).get("images", []):
        print(f"{image['name']}@{image['digest']}", flush=True)


def why(build: dict[str, Any]) -> str:
    """Return ": " and the reason of a build's failure, or an empty string."""
    said = build.get("failureInfo", {}).get("detail") or build.get("statusDetail", "")
    if _DENIAL.search(said):
        said = f"{said.removesuffix('.')}; {MAY_NOT_COUNT_YET}"
    return f": {said}" if said else ""


def _describe(cloud: Cloud, build_id: str) -> dict[str, Any]:
    words = ["builds", "describe", build_id, *cloud.in_project]
    return cloud.read_json([*words, "--region", cloud.settings.build_region], echo=False)


class BuildLog:
    """The log of a build, from Cloud Logging: `gcloud builds log` does not read it there."""

    def __init__(self, cloud: Cloud, build: dict[str, Any]):
        self.cloud, self.build_id = cloud, build["id"]
        self.newest = build["createTime"]
        self.seen: set[str] = set()
        self.is_complete = False
        self.is_readable = True

    def print_new(self) -> None:
        """Print new lines, even late ones; print one note without permission to read the log."""
        if not self.is_readable:
            return
        try:
            entries = self._read()
        except UserError as error:
            self.is_readable = getattr(error, "refusal", None) is not Refusal.DENIED
            if not self.is_readable:
                print(
                    f"note: the log cannot be read ({error}); you need roles/logging.viewer", file=sys.stderr
                )
            return
        for entry in entries:
            if entry["insertId"] in self.seen:
                continue
            self.seen.add(entry["insertId"])
            line = entry.get("textPayload", "")
            print(line, flush=True)
            self.newest = max(self.newest, entry["timestamp"])
            self.is_complete |= line == "DONE" or line.startswith("ERROR: build")

    def print_last(self) -> None:
        """Wait a little for the last lines of a build that has ended."""
        until = time.monotonic() + LAST_LINES_SECONDS
        self.print_new()
        while self.is_readable and not self.is_complete and time.monotonic() < until:
            time.sleep(1)
            self.print_new()

    def _read(self) -> list[dict[str, Any]]:
        since = datetime.fromisoformat(f"{self.newest[:19]}+00:00") - timedelta(seconds=LATE_SECONDS)
        wanted = (
            f'logName="projects/{self.cloud.project}/logs/cloudbuild" '
            f'AND resource.labels.build_id="{self.build_id}" AND timestamp>="{since:%Y-%m-%dT%H:%M:%SZ}"'
        )
        words = ["logging", "read", wanted, *self.cloud.in_project]
        return self.cloud.read_json([*words, "--order", "asc"], echo=False) or []
