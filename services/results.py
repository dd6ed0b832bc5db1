"""What result.json says. It is the last file of a result: a result without it is not complete."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from pipeline.storage import MissingFile
from services.failures import Conflict
from services.messages import RESULT, FailedUnit
from services.objects import Objects


class Result(BaseModel):
    """The content of result.json."""

    model_config = ConfigDict(frozen=True)

    status: Literal["done"] = "done"
    model: str  # name@version
    input: str
    generation: str
    inputs_sha256: str
    seed: int
    units: int
    failed: list[FailedUnit]
    summary: dict[str, Any]
    files: dict[str, str]  # SHA-256 by name below the result's folder
    device: str
    seconds: dict[str, float]  # of predicting, all shards together, and of postprocess
    versions: dict[str, dict[str, str]]  # by service


def read_result(objects: Objects, folder: str, upload: str, generation: str) -> Result | None:
    """Return the result of an upload in a folder; None if it is not complete.

    Raises
    ------
    Conflict
        There is a result.json, but the services did not write it, or it is of another upload.
    """
    reference = folder + RESULT
    try:
        result = Result.model_validate_json(objects.read(reference))
    except MissingFile:
        return None
    except ValueError:
        raise Conflict(f"{reference} is no result of these services; delete its folder") from None
    if (result.input, result.generation) != (upload, generation):
        raise Conflict(
            f"{reference} is a result of {result.input}#{result.generation}; choose another folder"
        )
    return result
