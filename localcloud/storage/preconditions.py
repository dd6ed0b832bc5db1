"""Preconditions: a request is carried out only if the object still has the expected generation.

They are checked in objects.py and buckets.py, where the lock is held.
"""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from localcloud.messages import ApiError


@dataclass(frozen=True)
class Preconditions:
    generation_match: int | None = None  # 0: there must be no object
    generation_not_match: int | None = None  # 0: there must be one
    metageneration_match: int | None = None
    metageneration_not_match: int | None = None

    @classmethod
    def from_query(cls, query: Mapping[str, str], prefix: str = "if") -> "Preconditions":
        """Read ifGenerationMatch and the like; `prefix` "ifSource" reads a source's."""
        return cls(
            whole_number(query, f"{prefix}GenerationMatch"),
            whole_number(query, f"{prefix}GenerationNotMatch"),
            whole_number(query, f"{prefix}MetagenerationMatch"),
            whole_number(query, f"{prefix}MetagenerationNotMatch"),
        )

    def check(self, found: Any | None, *, is_read: bool = False) -> None:
        """Raise unless `found` (a record, or None for no object) is as required.

        The error is 412, or 304 for a reader whose copy is still current (NotMatch).
        """
        generation = found.generation if found else 0
        if self.generation_match not in (None, generation):
            raise _failed("ifGenerationMatch", self.generation_match, generation)
        if self.generation_not_match == generation:
            raise _failed("ifGenerationNotMatch", generation, generation, is_read)
        self.check_metageneration(found.metageneration if found else 0, is_read=is_read)

    def check_metageneration(self, found: int, *, is_read: bool = False) -> None:
        if self.metageneration_match not in (None, found):
            raise _failed("ifMetagenerationMatch", self.metageneration_match, found)
        if self.metageneration_not_match == found:
            raise _failed("ifMetagenerationNotMatch", found, found, is_read)


NO_CONDITIONS = Preconditions()


def whole_number(query: Mapping[str, Any], name: str) -> int | None:
    """Return a number of a query or of a body, where it may be a text."""
    found = query.get(name)
    if found is None:
        return None
    if not isinstance(found, bool | float):  # int() would take those
        with suppress(TypeError, ValueError):
            if abs(number := int(found)) < 2**63:
                return number
    raise ApiError(400, f"{name} must be a whole number of 64 bits, not {found!r:.50}.")


def _failed(name: str, wanted: int, found: int, is_unchanged: bool = False) -> ApiError:
    message = f"At least one of the preconditions did not hold: {name} {wanted}, found {found}."
    return ApiError(304 if is_unchanged else 412, message)
