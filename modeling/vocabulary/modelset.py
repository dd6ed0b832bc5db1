"""Top-level key `modelset`: the populations, and `sampling`, `calibration` or neither."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator

from modeling.failures import did_you_mean, listed
from modeling.vocabulary.base import Meta, Piece, Problems
from modeling.vocabulary.calibration import Calibration
from modeling.vocabulary.model import Model
from modeling.vocabulary.sampling import Sampling

POPULATIONS_ALONE = "populations"  # what upstream may write for "no sampling"


def _none_for_populations_alone(sampling: Any) -> Any:
    """Return None for the word that says that nothing is sampled; refuse any other text."""
    if isinstance(sampling, str):
        if sampling != POPULATIONS_ALONE:
            near = did_you_mean(sampling, [POPULATIONS_ALONE])
            raise ValueError(f'"{sampling}" is neither a mapping nor the word {POPULATIONS_ALONE}{near}')
        return None
    return sampling


class Modelset(Piece):
    """Populations, and how the model's marked values are drawn.

    Without `sampling` and `calibration` the model runs as it is, once in each population.
    """

    meta: Meta | None = Field(None, description="notes about the file; nothing reads them")
    population_names: list[str] = Field(
        min_length=1,
        description='ISO 3166 codes, e.g. US-MA; "all" is the United States, its states, DC and Puerto Rico',
    )
    sampling: Annotated[
        Sampling | None,
        BeforeValidator(
            _none_for_populations_alone, json_schema_input_type=Sampling | Literal[POPULATIONS_ALONE] | None
        ),
    ] = Field(None, description="parameter sets to simulate; the word populations is the same as none")
    calibration: Calibration | None = Field(None, description="fit to observed data, and projections")

    @field_validator("calibration", mode="before")
    @classmethod
    def _not_empty(cls, calibration: Any) -> Any:
        if calibration is None:
            raise ValueError("calibration is empty; fill it in, or leave it out")
        return calibration

    @property
    def is_populations_alone(self) -> bool:
        """Whether nothing is sampled or calibrated."""
        return self.sampling is None and self.calibration is None

    def problems(self, model: Model) -> Problems:
        """Yield what is wrong with the modelset of this model, beyond its types."""
        if self.sampling and self.calibration:
            yield (), 'give either "sampling" or "calibration"'
            return
        if self.is_populations_alone:
            yield from self._marked_problems(model)
        section = "sampling" if self.sampling else "calibration"
        drawn = self.sampling or self.calibration
        for at, message in drawn.problems(model) if drawn else ():
            yield (section, *at), message
        for index, name in enumerate(self.population_names):
            if model.population.name and _plain(name) not in (_plain(model.population.name), "all"):
                yield (
                    ("population_names", index),
                    f"{name} is not the model's population {model.population.name}; remove one",
                )
            if name in self.population_names[:index]:  # the same place under another name runs once
                yield ("population_names", index), f"duplicate population {name}; keep one"

    def _marked_problems(self, model: Model) -> Problems:
        """Yield the values that the model marks, which populations alone do not give."""
        for word, section in (("sampled", "sampling"), ("calibrated", "calibration")):
            if marked := sorted(model.marked(word)):
                yield (), f'{listed(marked)}: {word} values need the section "{section}"'


def _plain(name: str) -> str:
    """Return a name without regard to case and blanks, as populations are looked up."""
    return "".join(name.split()).casefold()
