"""Rules for every piece of the vocabulary: no unknown keys, and bounds for numbers and dates."""

import datetime
import re
from collections.abc import Iterator
from typing import Annotated, Any, get_args, get_origin

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from modeling.bounds import FIRST_DAY, LARGEST_COUNT, LARGEST_NUMBER, LARGEST_SEED, LAST_DAY
from modeling.failures import did_you_mean, listed
from modeling.reference_dates import saturday_problem

Location = tuple[str | int, ...]
Problems = Iterator[tuple[Location, str]]  # place below this piece, and message


def _written_as_date(value: Any) -> Any:
    """Refuse what pydantic would read as seconds since 1970: 0, 20260101, "0"."""
    is_text = isinstance(value, str) and re.match("[0-9]{4}-[0-9]{2}-[0-9]{2}", value, re.ASCII)
    if not is_text and not isinstance(value, datetime.date):
        raise PydanticCustomError("date_written", "Input should be a date")
    return value


def _in_calendar(day: datetime.date) -> datetime.date:
    if not FIRST_DAY <= day <= LAST_DAY:
        raise PydanticCustomError("date_range", "Input should be a date")
    return day


def _on_saturday(day: datetime.date) -> datetime.date:
    if problem := saturday_problem(day):
        raise ValueError(f"{day} is {problem}")
    return day


# Every number and date of the vocabulary has one of these types or its own bounds, so that nothing huge
# reaches arithmetic. A Field beside one of them must not set bounds again: the wider ones would apply.
Number = Annotated[float, Field(ge=-LARGEST_NUMBER, le=LARGEST_NUMBER)]
NotNegative = Annotated[float, Field(ge=0, le=LARGEST_NUMBER)]
Positive = Annotated[float, Field(gt=0, le=LARGEST_NUMBER)]
Count = Annotated[int, Field(ge=1, le=LARGEST_COUNT)]
CountFrom0 = Annotated[int, Field(ge=0, le=LARGEST_COUNT)]
Seed = Annotated[int, Field(ge=0, le=LARGEST_SEED)]
Day = Annotated[datetime.date, BeforeValidator(_written_as_date), AfterValidator(_in_calendar)]
Saturday = Annotated[Day, AfterValidator(_on_saturday)]


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
    def _refuse_text_and_flags_as_numbers(cls, data: Any) -> Any:
        """Refuse yes, no, on and off, which would be read as 1 and 0, and "1_5", read as 15."""
        for key, value in data.items() if isinstance(data, dict) else ():
            field = cls.model_fields.get(key)
            if field is None:
                continue
            within = value if isinstance(value, dict) and _takes(dict, field.annotation) else {}
            each = [((key, name), v) for name, v in within.items()]
            each += [((key,), v) for v in (value if isinstance(value, list) else [value])]
            for at, given in each:
                problem = ""
                if isinstance(given, bool) and not _takes(bool, field.annotation):
                    problem = f"{at[-1]}: true or false (in YAML also yes, no, on, off) is not allowed here"
                elif _is_odd_number(given) and not _takes(str, field.annotation):
                    problem = f"{at[-1]}: {given} is not a number; underscores may only separate thousands"
                if problem:
                    raise PydanticCustomError("no_number", "{message}", {"message": problem, "at": at})
        return data


def repeated(names: list) -> list:
    """Return the values that occur more than once, in the order of their second occurrence."""
    seen: set = set()
    return list(dict.fromkeys(n for n in names if n in seen or seen.add(n)))


def _is_odd_number(given: Any) -> bool:
    """Return whether a text is a number with underscores elsewhere than between thousands."""
    if not isinstance(given, str) or not re.fullmatch(r"\s*[-+]?[0-9.]+_[0-9_.eE+-]*\s*", given):
        return False
    return not re.fullmatch(r"\s*[-+]?[0-9]{1,3}(_[0-9]{3})+(\.[0-9]*)?\s*", given)


def _takes(kind: type, annotation: Any) -> bool:
    """Return whether a field, or the items of its list, can be of a type: bool, str or dict."""
    if get_origin(annotation) is dict:
        return kind is dict or any(_takes(kind, a) for a in get_args(annotation)[1:])
    return annotation in (kind, Any) or any(_takes(kind, a) for a in get_args(annotation))


class Meta(Piece):
    """Notes about the file, under any keys; nothing reads them."""

    model_config = ConfigDict(extra="allow", frozen=True)
