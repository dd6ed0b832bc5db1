"""A model for tests of the services: it takes its time, and says what it was asked."""

import json
import time
from collections.abc import Sequence
from pathlib import Path

from services.models import Finished, Predicted, Prepared, Upload


class Patient:
    """Takes a .patient file of JSON: its units, and the seconds for each of them in one of the services."""

    name, version, formats = "patient", "1", ".patient"

    def accepts(self, name: str, head: bytes) -> bool:
        return name.endswith(".patient")

    def prepare(self, upload: Upload, models: Path, seed: int) -> Prepared:
        units = json.loads(upload.content)["units"]
        _work(upload.content, "preprocess", units)
        return Prepared([f"unit {number}" for number in range(units)], upload.content)

    def load(self, models: Path, device: str) -> None:
        pass

    def predict(self, content: bytes, first: int, count: int, seed: int) -> Predicted:
        _work(content, "inference", count)
        name = json.loads(content)["name"]
        return Predicted(json.dumps([[name, number] for number in range(first, first + count)]).encode())

    def finish(self, content: bytes, shards: Sequence[Predicted], folder: Path) -> Finished:
        units = [unit for shard in shards for unit in json.loads(shard.content)]
        _work(content, "postprocess", len(units))
        return Finished({"units.json": json.dumps(units).encode()}, {"units": len(units)})


def _work(content: bytes, service: str, units: int) -> None:
    asked = json.loads(content)
    if asked["service"] == service:
        time.sleep(asked["seconds"] * units)


def patient_file(name: str, units: int = 1, seconds: float = 0.0, service: str = "inference") -> bytes:
    """Return the content of an upload for it."""
    return json.dumps({"name": name, "units": units, "seconds": seconds, "service": service}).encode()


def units_of(name: str, units: int = 1) -> bytes:
    """Return the content of units.json that is right for an upload."""
    return json.dumps([[name, number] for number in range(units)]).encode()
