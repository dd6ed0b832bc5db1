"""The folder of what can be downloaded or compiled again: populations, and the engine's machine code."""

import os
from collections.abc import Mapping
from pathlib import Path


def cache_folder(environ: Mapping[str, str] = os.environ) -> Path:
    """Return epymodelingsuite-cloud in XDG_CACHE_HOME, in ~/.cache, or where there is no home in /tmp."""
    home = os.path.expanduser("~")
    root = Path(home) / ".cache" if home != "/" and os.access(home, os.W_OK) else Path("/tmp")
    chosen = environ.get("XDG_CACHE_HOME", "")
    # the standard ignores a relative path
    return (Path(chosen) if os.path.isabs(chosen) else root) / "epymodelingsuite-cloud"
