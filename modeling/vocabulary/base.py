"""What every piece of the vocabulary shares: no unknown key, no number that is not finite."""

from collections.abc import Iterator
from typing import Any, get_args

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

    @model_validator(mode="before")
    @classmethod
    def _refuse_yes_and_no(cls, data: Any) -> Any:
        """YAML reads yes, no, on and off as true and false, which would pass for 1 and 0."""
        for key, value in data.items() if isinstance(data, dict) else ():
            field = cls.model_fields.get(key)
            given = value if isinstance(value, list) else [value]
            if field and any(isinstance(v, bool) for v in given) and not _takes_bool(field.annotation):
                message = f"{key}: true or false (in YAML also yes, no, on, off) cannot stand here"
                raise PydanticCustomError("yes_or_no", "{message}", {"message": message, "at": (key,)})
        return data


def _takes_bool(annotation: Any) -> bool:
    return annotation in (bool, Any) or any(_takes_bool(a) for a in get_args(annotation))


class Meta(Piece):
    """Free text about a file; nothing reads it."""

    model_config = ConfigDict(extra="allow", frozen=True)
