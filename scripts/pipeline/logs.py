"""Logs of a stage: JSON lines for Cloud Logging, plain lines on a terminal."""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from modeling.plain_text import one_line, plain_lines

__all__ = ["counted", "kept_warnings", "one_line", "start_logging"]


def start_logging(mode: str, level: str, fields: dict[str, object]) -> None:
    """Set up logging to standard error.

    Parameters
    ----------
    mode : str
        "cloud" writes JSON with `severity`, `message` and `fields`, which Cloud Logging reads.
    fields : dict
        stage, exp_id, run_id, task_index: on every line.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_json_formatter(fields) if mode == "cloud" else _PlainFormatter(fields))
    known = level.upper() in ("DEBUG", "INFO", "WARNING", "ERROR")  # environment.py reports any other
    logging.basicConfig(level=level.upper() if known else "INFO", handlers=[handler], force=True)
    for chatty in ("matplotlib", "numba", "urllib3", "google", "PIL", "fontTools", "epymodelingsuite"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


@contextmanager
def kept_warnings(thread: int | None = None) -> Iterator[list[str]]:
    """Yield a list that collects every warning of the block; with a thread's number, of that thread alone."""
    kept: list[str] = []

    def keep(record: logging.LogRecord) -> None:
        if thread in (None, record.thread):
            kept.append(one_line(record.getMessage()))

    handler = logging.Handler(logging.WARNING)
    handler.emit = keep
    logging.getLogger().addHandler(handler)
    try:
        yield kept
    finally:
        logging.getLogger().removeHandler(handler)


class _PlainFormatter(logging.Formatter):
    def __init__(self, fields: dict[str, object]):
        task = "" if fields.get("task_index") is None else f" {fields['task_index']}"
        super().__init__(f"%(asctime)s {fields.get('stage', '')}{task}: %(message)s", "%H:%M:%S")

    def format(self, record: logging.LogRecord) -> str:
        line = super().format(_plain(record))
        return (
            line
            if record.levelno < logging.WARNING
            else line.replace(": ", f": {record.levelname.lower()}: ", 1)
        )


def _plain(record: logging.LogRecord) -> logging.LogRecord:
    """Return a record without control characters; only a bug, with its traceback, may have several lines."""
    shown = plain_lines if record.levelno >= logging.CRITICAL else one_line
    return logging.makeLogRecord({**vars(record), "msg": shown(record.getMessage()), "args": None})


def _json_formatter(fields: dict[str, object]) -> logging.Formatter:
    from pythonjsonlogger.json import JsonFormatter  # not needed on a laptop

    class PlainJsonFormatter(JsonFormatter):
        def format(self, record: logging.LogRecord) -> str:
            return super().format(_plain(record))

    return PlainJsonFormatter(
        "{levelname}{message}",
        style="{",
        rename_fields={"levelname": "severity"},
        static_fields={name: value for name, value in fields.items() if value is not None},
    )


def counted(number: int, thing: str) -> str:
    """Return "1 input" or "3 inputs"."""
    return f"{number} {thing}" if number == 1 else f"{number:,} {thing}s"
