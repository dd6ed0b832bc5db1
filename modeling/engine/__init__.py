"""The simulator: from a ModelPlan and a draw of its parameters to one trajectory.

One file an engine; the others of the suite know only Simulator and Path. epydemix is the
reference for what a model means.
"""

from modeling.engine.epydemix_engine import Path, Simulator

__all__ = ["Path", "Simulator"]
