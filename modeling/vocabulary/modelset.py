"""Top-level key `modelset`: the populations, and either `sampling` or `calibration`."""

from pydantic import Field

from modeling.vocabulary.base import Meta, Piece, Problems
from modeling.vocabulary.calibration import Calibration
from modeling.vocabulary.model import Model
from modeling.vocabulary.sampling import Sampling


class Modelset(Piece):
    """Populations, and how the model's marked values are drawn."""

    meta: Meta | None = None
    population_names: list[str] = Field(min_length=1, description='ISO 3166 codes, or "all"')
    sampling: Sampling | None = None
    calibration: Calibration | None = None

    def problems(self, model: Model) -> Problems:
        """Yield what is wrong with the modelset of this model, beyond its types."""
        if (self.sampling is None) == (self.calibration is None):
            yield (), 'give either "sampling" or "calibration"'
            return
        section = "sampling" if self.sampling else "calibration"
        for at, message in (self.sampling or self.calibration).problems(model):
            yield (section, *at), message
        for index, name in enumerate(self.population_names):
            if model.population.name and _plain(name) not in (_plain(model.population.name), "all"):
                yield (
                    ("population_names", index),
                    f"{name} is not the model's population {model.population.name}; remove one",
                )
            if name in self.population_names[:index]:  # the same place under another name runs once
                yield ("population_names", index), f"duplicate population {name}; keep one"


def _plain(name: str) -> str:
    """Return a name without regard to case and blanks, as populations are looked up."""
    return "".join(name.split()).casefold()
