"""The YAML vocabulary of an experiment, that of epymodelingsuite 0.1.0: shapes, types and references.

A file a top-level key: model.py, modelset.py, output.py. Files are found and put together in
modeling/vocabulary/experiment.py; what the built-in suite does not build yet is refused there.
"""

from modeling.vocabulary.model import Model
from modeling.vocabulary.modelset import Modelset
from modeling.vocabulary.output import Output

__all__ = ["Model", "Modelset", "Output"]
