"""The bodies of requests and answers. A field that is not in the contract is refused.

Whatever is large is an object of Cloud Storage; a body names it by its gs:// reference.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

MOST_BODY_BYTES = 64 << 10
RESULT = "result.json"  # in the folder of a result; written last

Reference = Annotated[str, StringConstraints(pattern=r"^gs://[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]/.+$")]
Folder = Annotated[str, StringConstraints(pattern=r"^gs://[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]/(.+/)?$")]
Generation = Annotated[str, StringConstraints(pattern=r"^[0-9]{1,20}$")]
Digest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class _Message(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PreprocessRequest(_Message):
    """`work` is where inputs and shards go, `result` where the files for people go."""

    request_id: str
    input: Reference
    generation: Generation
    work: Folder
    result: Folder
    options: dict[str, Any] = {}


class ShardRange(_Message):
    """Units `first` to `first + count - 1`."""

    index: int = Field(ge=0)
    first: int = Field(ge=0)
    count: int = Field(ge=1)


class PreprocessAnswer(_Message):
    """With status "done" the result was there already, and `result` names its result.json."""

    status: Literal["ready", "done"]
    model: str = ""  # name@version
    units: int = 0
    shards: list[ShardRange] = []
    inputs: str = ""
    sha256: str = ""  # of `inputs`
    seed: int = 0
    result: str = ""


class PredictRequest(_Message):
    request_id: str
    model: str
    inputs: Reference
    sha256: Digest
    first: int = Field(ge=0)
    count: int = Field(ge=1)
    out: Reference
    seed: int = Field(ge=0)


class FailedUnit(_Message):
    unit: str
    reason: str


class PredictAnswer(_Message):
    """`skipped`: the shard was there already, made from the same inputs."""

    status: Literal["done"] = "done"
    out: str
    units: int
    failed: list[FailedUnit] = []
    seconds: float
    device: str
    skipped: bool = False


class PostprocessRequest(_Message):
    request_id: str
    model: str
    inputs: Reference
    sha256: Digest
    shards: list[Reference] = Field(min_length=1)
    result: Folder
    input: Reference
    generation: Generation


class PostprocessAnswer(_Message):
    """`files` has the SHA-256 of each file below `result`'s folder."""

    status: Literal["done"] = "done"
    result: str  # gs:// reference of result.json
    files: dict[str, str]
    summary: dict[str, Any]
    units: int
    failed: list[FailedUnit] = []


class HealthAnswer(_Message):
    status: Literal["ok"] = "ok"
    service: str
    version: str
    models: list[str]
    device: str  # "cpu", or "cuda: NVIDIA L4"
    gpu: bool


class ErrorText(_Message):
    message: str  # one line
    retry: bool
    where: str = ""


class ErrorAnswer(_Message):
    error: ErrorText
