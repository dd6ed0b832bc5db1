"""What every piece of the vocabulary shares: no unknown key, no number that is not finite."""

from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel, ConfigDict, model_validator
from pydantic_core import PydanticCustomError

from modeling.failures import did_you_mean, listed

Location = tuple[str | int, ...]
Problems = Iterator[tuple[Location, str]]  # where below this piece, and what is wrong


class Piece(BaseModel):
    """A mapping of the YAML vocabulary."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _refuse_unknown_keys(cls, data: Any) -> Any:
        if isinstance(data, dict) and cls.model_config.get("extra") == "forbid":
            for key in data:
                if key not in cls.model_fields:
                    known = listed(cls.model_fields, most=20)
                    message = f'unknown key "{key}"{did_you_mean(key, cls.model_fields)}; known: {known}'
                    raise PydanticCustomError("unknown_key", "{message}", {"message": message, "at": (key,)})
        return data


class Meta(Piece):
    """Free text about a file; nothing reads it."""

    model_config = ConfigDict(extra="allow", frozen=True)
