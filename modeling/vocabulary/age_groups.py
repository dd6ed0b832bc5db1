"""`model.population`: age groups such as "5-17" and "65+"."""

import re

from pydantic import Field

from modeling.vocabulary.base import Piece, Problems

OLDEST_AGE = 84  # the last age of epydemix-data is 84+


class PopulationChoice(Piece):
    """The population, and its age groups."""

    name: str | None = Field(
        None, description="ISO 3166 code, such as US-MA; without it the modelset names the populations"
    )
    age_groups: list[str] = Field(
        min_length=1, description='every age [years] once, in order, such as ["0-4", "5-17", "18+"]'
    )

    def problems(self) -> Problems:
        """Yield the first age group that leaves an age out, or covers one again."""
        next_age = 0
        for index, group in enumerate(self.age_groups):
            at = ("age_groups", index)
            try:
                first, last = age_bounds(group)
            except ValueError as error:
                yield at, str(error)
                return
            if first != next_age:
                yield at, f'age group "{group}" must start at {next_age}: groups follow each other'
                return
            next_age = last + 1
        if next_age <= OLDEST_AGE:
            yield ("age_groups",), f'the last age group must be open, e.g. "{first}+"'


def age_bounds(group: str) -> tuple[int, int]:
    """Return first and last age of "5-17" or "65+"; an open group ends at 84, which means 84+."""
    match = re.fullmatch(r"([0-9]{1,3})(?:-([0-9]{1,3})|\+)", group)
    if not match:
        raise ValueError(f'"{group}" is not an age group; write "5-17" or "65+"')
    first = int(match[1])
    last = int(match[2]) if match[2] else OLDEST_AGE
    if not first <= last <= OLDEST_AGE:
        raise ValueError(f'age group "{group}" must end between its first age and {OLDEST_AGE}')
    return first, last
