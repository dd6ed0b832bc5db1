"""The YAML vocabulary of an experiment, that of epymodelingsuite 0.1.0: its keys, types and references.

Each top-level key has a module: model.py, modelset.py, forecast.py, output.py. experiment.py finds the files
of an experiment, validates them together, and refuses what the built-in suite does not build yet.
"""

from modeling.vocabulary.forecast import SurveillanceForecast
from modeling.vocabulary.model import Model
from modeling.vocabulary.modelset import Modelset
from modeling.vocabulary.output import Output

__all__ = ["Model", "Modelset", "Output", "SurveillanceForecast"]
