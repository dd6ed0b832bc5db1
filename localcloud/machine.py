"""What a process of this machine has in place of its image: the variables that the image sets, and caches."""

import os
import sys
from pathlib import Path


def machine_variables(folder: Path, caches: Path) -> dict[str, str]:
    """Return the variables that the image sets; of this process's own, only the path of programs.

    `folder` is the process's own, `caches` is shared by all, as in an image.
    """
    programs = [str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]
    return {
        "PATH": os.pathsep.join(programs),
        "HOME": str(folder),
        "TMPDIR": str(folder),
        "LANG": "C.UTF-8",
        "PYTHON": sys.executable,
        "PYTHONUNBUFFERED": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        "MPLCONFIGDIR": str(caches / "matplotlib"),
        "NUMBA_CACHE_DIR": str(machine_code()),
        "OMP_NUM_THREADS": "1",
        "EXECUTION_MODE": "cloud",
        "LOCAL_DATA_PATH": str(folder),
    }


def machine_code() -> Path:
    """Return the folder of machine code that runs on this machine share; an image has its own."""
    cache = os.environ.get("XDG_CACHE_HOME", "")
    root = Path(cache) if os.path.isabs(cache) else Path.home() / ".cache"
    chosen = os.environ.get("NUMBA_CACHE_DIR")
    return Path(chosen) if chosen else root / "epymodelingsuite-cloud" / "compiled"
