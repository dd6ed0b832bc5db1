"""The event-driven lane: three small web services that turn an upload into a result.

A workflow (terraform/gpu/workflow.yaml) calls /preprocess, /predict and /postprocess in this order. Requests
carry gs:// references, never data. docs/custom-models.md shows how to add a model.
"""

import sys
from pathlib import Path

_SCRIPTS = str(Path(__file__).resolve().parents[1] / "scripts")
if _SCRIPTS not in sys.path:  # it has the package `pipeline`, with the storage
    sys.path.append(_SCRIPTS)
