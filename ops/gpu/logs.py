"""The log lines that the three services of the GPU lane wrote for one upload.

They are read by a filter: `gcloud run services logs read` cannot print lines that are JSON.
"""

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from modeling.plain_text import one_line
from ops.cloud.cloud import Cloud
from ops.cloud.log_reader import Entry, LogLine, LogReader, quoted
from ops.failures import UserError
from ops.gpu.names import SERVICES, Names
from ops.watching.run_logs import check_severity, print_lines, since_time

KEPT = timedelta(days=30)  # by Logging, unless the project says otherwise


class ServiceLine(LogLine):
    """The line that shows an entry of a service: `stage` is the service, `task` the request id."""

    @classmethod
    def of(cls, entry: Entry) -> "ServiceLine":
        written = entry["jsonPayload"]  # there, because its run_key is what the filter selects by
        named = {"stage": written.get("service", ""), "task": written.get("request_id", "")}
        return replace(super().of(entry), **{name: one_line(text) for name, text in named.items()})

    def __str__(self) -> str:
        return f"{self.time}  {self.stage:11} {self.severity:8} {self.message}  {self.task}".rstrip()


def show_logs(
    cloud: Cloud, key: str | None, severity: str, since: str, limit: int | None, follow: bool
) -> None:
    """Print the services' lines for an upload, oldest first; with `follow` until Ctrl-C.

    Raises
    ------
    UserError
        The key of the upload is missing, or a value is wrong.
    """
    names = Names.of(cloud.settings)
    check_key(key, names)
    check_severity(severity)
    begin = since_time(since) if since else datetime.now(UTC) - KEPT
    print_lines(
        LogReader(cloud, log_filter(names, key, severity), begin, line_of=ServiceLine.of),
        f"upload {key}, services {names.service('*')}",
        limit,
        follow,
        nothing=f"no matching lines of upload {key} in the logs of the services; "
        f"`gcloud storage ls gs://{names.bucket('output')}/work/` lists the keys of uploads",
    )


def check_key(key: str | None, names: Names) -> None:
    """Refuse a text that is not the key of an upload, and say where its key is found."""
    if not re.fullmatch("[a-z0-9]{16}", key or ""):
        bucket = f"gs://{names.bucket('output')}"
        raise UserError(
            (f'--run "{one_line(key, 60)}"' if key else "--run is needed")
            + ": the key of an upload, 16 characters of a-z and 0-9. The result or error of its execution "
            f"names it, so does its folder {bucket}/work/KEY/; `gcloud storage ls {bucket}/work/` lists them"
        )


def log_filter(names: Names, key: str, severity: str) -> str:
    """Return the filter for the lines of an upload, in the query language of Logging."""
    services = " OR ".join(quoted(names.service(each)) for each in SERVICES)
    parts = [
        'resource.type="cloud_run_revision"',
        f"resource.labels.service_name=({services})",
        f"jsonPayload.run_key={quoted(key)}",
    ]
    return " AND ".join([*parts, *([f"severity>={severity.upper()}"] if severity else [])])
