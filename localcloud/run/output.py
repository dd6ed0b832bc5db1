"""What instances print, and what Cloud Run says about them and about requests, as entries of Cloud Logging.

https://cloud.google.com/run/docs/logging and
https://cloud.google.com/logging/docs/structured-logging#special-payload-fields
"""

from typing import Any

from localcloud import times
from localcloud.filters import SEVERITIES
from localcloud.logs import LogService
from localcloud.run.definition import Definition
from localcloud.strict_json import object_in

_SPECIAL = {  # fields of a line of JSON that become fields of its entry, and their kinds
    "httpRequest": ("httpRequest", dict),
    "logging.googleapis.com/insertId": ("insertId", str),
    "logging.googleapis.com/operation": ("operation", dict),
    "logging.googleapis.com/sourceLocation": ("sourceLocation", dict),
    "logging.googleapis.com/spanId": ("spanId", str),
    "logging.googleapis.com/trace": ("trace", str),
    "logging.googleapis.com/trace_sampled": ("traceSampled", bool),
}
_LABELS = "logging.googleapis.com/labels"


class RevisionLog:
    """The log of a revision, or of one of its instances."""

    def __init__(self, logs: LogService, definition: Definition, instance_id: str = ""):
        self._logs = logs
        self._prefix = f"projects/{definition.project}/logs/run.googleapis.com%2F"
        # All entries share these two objects.
        self._resource = {
            "type": "cloud_run_revision",
            "labels": {
                "project_id": definition.project,
                "location": definition.region,
                "service_name": definition.service,
                "configuration_name": definition.service,
                "revision_name": definition.revision,
            },
        }
        self._labels = {"instanceId": instance_id} if instance_id else {}

    def line(self, text: str, is_error: bool) -> None:
        """Write a line that an instance printed."""
        payload = object_in(text) if text.startswith("{") else None
        fields = {"textPayload": text} if payload is None else _fields(payload)
        self._write("stderr" if is_error else "stdout", **fields)

    def system(self, text: str, severity: str = "INFO") -> None:
        """Write what Cloud Run says about an instance."""
        self._write("varlog%2Fsystem", severity=severity, textPayload=text)

    def request(self, facts: dict[str, Any], trace: str, reason: str = "") -> None:
        """Write an answered request; `reason` is why Cloud Run itself answered, if it did.

        The entry has the time at which the request ended. Google does not say whether Cloud Run uses that, or
        the time at which it began, as App Engine does.
        """
        status = facts["status"]
        severity = "INFO" if status < 400 else "WARNING" if status < 500 else "ERROR"
        said = {"textPayload": reason} if reason else {}
        self._write("requests", severity=severity, httpRequest=facts, trace=trace, **said)

    def _write(self, name: str, **fields: Any) -> None:
        labels = {**self._labels, **fields.pop("labels", {})}
        self._logs.write(
            {"logName": self._prefix + name, "resource": self._resource, "labels": labels, **fields}
        )


def _fields(payload: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of an entry; a special field of the wrong kind stays in the payload."""
    fields: dict[str, Any] = {}
    for name, (field, kind) in _SPECIAL.items():
        if isinstance(payload.get(name), kind):
            fields[field] = payload.pop(name)
    if str(payload.get("severity", "")).upper() in SEVERITIES:
        fields["severity"] = str(payload.pop("severity")).upper()
    if isinstance(payload.get(_LABELS), dict):
        fields["labels"] = {key: str(value) for key, value in payload.pop(_LABELS).items()}
    try:
        fields["timestamp"] = times.at(times.parse(payload["time"]).timestamp())
        del payload["time"]
    except (KeyError, TypeError, ValueError, OverflowError, AttributeError):
        pass  # none, or not a time: the entry has the time at which it arrived
    return fields | {"jsonPayload": payload}
