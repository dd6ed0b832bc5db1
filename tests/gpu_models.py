"""A model for tests of the services: it takes its time, and says what it was asked."""

import json
import time
from collections.abc import Sequence
from pathlib import Path

from services.models import Finished, Predicted, Prepared, Upload


class Patient:
    """Takes a .patient file of JSON: the number of units, and the seconds that each one takes."""

    name, version, formats = "patient", "1", ".patient"

    def accepts(self, name: str, head: bytes) -> bool:
        return name.endswith(".patient")

    def prepare(self, upload: Upload, models: Path, seed: int) -> Prepared:
        asked = json.loads(upload.content)
        return Prepared([f"unit {number}" for number in range(asked["units"])], upload.content)

    def load(self, models: Path, device: str) -> None:
        pass

    def predict(self, content: bytes, first: int, count: int, seed: int) -> Predicted:
        asked = json.loads(content)
        time.sleep(asked["seconds"] * count)
        return Predicted(
            json.dumps([[asked["name"], number] for number in range(first, first + count)]).encode()
        )

    def finish(self, content: bytes, shards: Sequence[Predicted], folder: Path) -> Finished:
        units = [unit for shard in shards for unit in json.loads(shard.content)]
        return Finished({"units.json": json.dumps(units).encode()}, {"units": len(units)})


def patient_file(name: str, units: int = 1, seconds: float = 0.0) -> bytes:
    """Return the content of an upload for it."""
    return json.dumps({"name": name, "units": units, "seconds": seconds}).encode()


def units_of(name: str, units: int = 1) -> bytes:
    """Return the content of units.json that is right for an upload."""
    return json.dumps([[name, number] for number in range(units)]).encode()
