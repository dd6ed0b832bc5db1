"""What the services leave for each other in work/: a line of JSON that says what it is, digest, content.

So a request can be repeated: a service sees from what an object was made, without another object beside it.
"""

from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict

from services.failures import Conflict
from services.objects import Objects, sha256_of

Head = TypeVar("Head", bound=BaseModel)


class Unreadable(Conflict):
    """An object in work/ is damaged, or of another version of the services."""


class InputsHead(BaseModel):
    """Of `inputs`: an upload as units, which preprocess prepared."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str  # name@version
    input: str
    generation: str
    options: dict[str, Any]
    units: list[str]
    unit_seconds: float
    seed: int


class ShardHead(BaseModel):
    """Of a shard: the results of some units."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str
    inputs: str  # SHA-256 of the inputs' object
    first: int
    count: int
    seed: int
    failed: dict[str, str]  # reason by unit
    seconds: float  # of predicting
    device: str
    versions: dict[str, str]


def pack(head: BaseModel, content: bytes) -> bytes:
    """Return an object's content: its head, the SHA-256 of the rest, and what the model made."""
    line = head.model_dump_json().encode()
    return b"\n".join([line, sha256_of(line + b"\n" + content).encode(), content])


def unpack(reference: str, data: bytes, kind: type[Head]) -> tuple[Head, bytes]:
    """Return the head and the content of an object.

    Raises
    ------
    Unreadable
        The services did not write it, another version of them did, or it is damaged.
    """
    line, _, rest = data.partition(b"\n")
    digest, _, content = rest.partition(b"\n")
    try:
        if digest.decode() == sha256_of(line + b"\n" + content):
            return kind.model_validate_json(line), content
    except ValueError:
        pass
    raise Unreadable(
        f"{reference} is damaged, or not of this version of the services; delete its folder, and upload the "
        "file again"
    )


def read_inputs(objects: Objects, reference: str, sha256: str) -> tuple[InputsHead, bytes]:
    """Return the inputs of a request, after a check of their digest."""
    data = objects.read(reference)
    if sha256_of(data) != sha256:
        raise Conflict(f"{reference} has another SHA-256 than the request says; start the upload again")
    return unpack(reference, data, InputsHead)
