"""A build of Cloud Build while it runs: its log as it is written, and how it ends."""

import sys
import time
from datetime import datetime, timedelta
from typing import Any

from ops.failures import UserError
from ops.gcloud import Refusal, read_json
from ops.settings import Settings
from ops.shell import Shell

POLL_SECONDS = 5.0
MOST_FAILURES = 5  # in a row, of asking how the build stands
MOST_SECONDS = 3 * 3600  # a build waits for an hour at most, and runs for one
LATE_SECONDS = 120  # lines come that much after others that were written later
LAST_LINES_SECONDS = 15.0  # how long after its end a build's last lines are waited for
EXIT_CODES = {"CANCELLED": 130, "EXPIRED": 75, "INTERNAL_ERROR": 75}  # 1 for all others
FINISHED = {"SUCCESS", "FAILURE", "INTERNAL_ERROR", "TIMEOUT", "CANCELLED", "EXPIRED"}


def follow(
    shell: Shell, settings: Settings, build: dict[str, Any], poll_seconds: float = POLL_SECONDS
) -> None:
    """Print the log of a build as it is written, until it ends; nothing that happens here stops the build.

    Raises
    ------
    UserError
        The build failed (exit code 1), was cancelled (130), or expired or failed inside Cloud Build (75); or
        its state cannot be read, and it goes on.
    KeyboardInterrupt
        The build goes on.
    """
    log = BuildLog(shell, settings, build)
    goes_on = f"build {build['id']} goes on; `invoke build-status` shows it"
    until = time.monotonic() + MOST_SECONDS
    failures = 0
    try:
        while build["status"] not in FINISHED:
            time.sleep(poll_seconds)
            try:
                build = _describe(shell, settings, build["id"])
                failures = 0
            except UserError as error:
                failures += 1  # a lost answer is no reason to leave
                if failures == MOST_FAILURES:
                    raise UserError(f"{error}; {goes_on}", exit_code=error.exit_code) from None
            log.print_new()
            if time.monotonic() > until:
                raise UserError(f"not finished after {MOST_SECONDS // 3600} hours; {goes_on}", exit_code=1)
        log.print_last()
    except KeyboardInterrupt:
        print(f"\n{goes_on}", file=sys.stderr)
        raise
    if build["status"] != "SUCCESS":
        code = EXIT_CODES.get(build["status"], 1)
        raise UserError(f"build {build['id']} ended as {build['status']}{why(build)}", exit_code=code)
    for image in build.get("results", {}).get("images", []):
        print(f"{image['name']}@{image['digest']}")


def why(build: dict[str, Any]) -> str:
    """Return ": " and what a build says of its failure, or nothing."""
    said = build.get("failureInfo", {}).get("detail") or build.get("statusDetail", "")
    return f": {said}" if said else ""


def _describe(shell: Shell, settings: Settings, build_id: str) -> dict[str, Any]:
    words = ["builds", "describe", build_id, "--project", settings.project_id]
    return read_json(shell, [*words, "--region", settings.build_region], echo=False)


class BuildLog:
    """The lines of one build: `gcloud builds log` has none where they go to Cloud Logging alone."""

    def __init__(self, shell: Shell, settings: Settings, build: dict[str, Any]):
        self.shell, self.settings, self.build_id = shell, settings, build["id"]
        self.newest = build["createTime"]
        self.seen: set[str] = set()
        self.is_complete = False
        self.is_readable = True

    def print_new(self) -> None:
        """Print what has come since, late lines too; where the log may not be read, say so once."""
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
            f'logName="projects/{self.settings.project_id}/logs/cloudbuild" '
            f'AND resource.labels.build_id="{self.build_id}" AND timestamp>="{since:%Y-%m-%dT%H:%M:%SZ}"'
        )
        words = ["logging", "read", wanted, "--project", self.settings.project_id]
        return read_json(self.shell, [*words, "--order", "asc"], echo=False) or []
