"""What a model is to the services: a class with the methods of `Model`, named in MODELS.

    MODELS=services.models.forecast:Forecast,services.models.sentiment:Sentiment

Each service uses some of the methods: preprocess `accepts` and `prepare`, inference `load` and `predict`,
postprocess `finish`. A model imports what a method needs within that method.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol


@dataclass(frozen=True)
class Upload:
    """A file that somebody uploaded."""

    name: str  # below its bucket
    content: bytes
    options: Mapping[str, Any]


@dataclass(frozen=True)
class Prepared:
    """An upload as independent units, such as the jurisdictions of a forecast.

    Attributes
    ----------
    units : sequence of str
        Their names.
    content : bytes
        What `predict` and `finish` read. The same upload and seed give the same bytes.
    unit_seconds : float
        About how long one unit takes on one device; 0 where all together take seconds.
    seed : int or None
        That of the upload, which replaces the one of the request; None where it has none.
    """

    units: Sequence[str]
    content: bytes
    unit_seconds: float = 0.0
    seed: int | None = None


@dataclass(frozen=True)
class Predicted:
    """The results of some units, as `finish` reads them; `failed` has the reason of each unit without one."""

    content: bytes
    failed: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Finished:
    """Files for people, by name below the result's folder, and a few facts for result.json."""

    files: Mapping[str, bytes | Path]
    summary: Mapping[str, Any]


class Model(Protocol):
    """A model. A UserError of a method is the user's mistake, a TemporaryFault passes; else it is a bug."""

    name: str
    version: str
    formats: str  # what it takes, for the message when no model takes a file: ".csv or .tar.gz"

    def accepts(self, name: str, head: bytes) -> bool:
        """Tell whether this model takes a file, by its name and its first 4 KB."""

    def prepare(self, upload: Upload, models: Path, seed: int) -> Prepared:
        """Check an upload and split it into units; `models` has the model's files of the models bucket."""

    def load(self, models: Path, device: str) -> str | None:
        """Get ready to predict on "cpu" or "cuda", once in a process: read weights, warm up.

        Returns
        -------
        str or None
            "cpu" where the model cannot use the GPU it was offered, so that results tell the truth.

        Raises
        ------
        UserError
            The GPU cannot be used, for a reason that should be known; DEVICE=auto then loads for "cpu".
        """

    def predict(self, content: bytes, first: int, count: int, seed: int) -> Predicted:
        """Predict units `first` to `first + count - 1`; a unit that fails is named, the others go on."""

    def finish(self, content: bytes, shards: Sequence[Predicted], folder: Path) -> Finished:
        """Make the files for people; `folder` is an empty one for them, removed afterwards."""
