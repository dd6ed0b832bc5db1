"""Compile the engine ahead, so that no task does: for the image, or a machine without a writable home.

    python -m modeling.engine.precompile x86-64-v3 x86-64-v4

Without a target it is this machine's. The code goes where the engine looks for it: NUMBA_CACHE_DIR, or the
person's cache. A target that this CPU cannot run is only compiled.
"""

import importlib
import os
import re
import subprocess
import sys
import time

from modeling.engine.code_folder import ENGINE, code_folder

_DECORATED = re.compile(r"^@compiled$", re.MULTILINE)


def compile_all() -> str:
    """Compile the engine for the target of this process; return one line about it.

    Raises
    ------
    RuntimeError
        There is nothing to compile, or its code was not kept.
    """
    from modeling.engine.compiled import TARGET, Compiled

    started, found = time.perf_counter(), []
    for path in sorted(ENGINE.glob("*.py")):
        if _DECORATED.search(path.read_text(encoding="utf-8")):
            module = importlib.import_module(f"modeling.engine.{path.stem}")
            found += [each for each in vars(module).values() if isinstance(each, Compiled)]
    for each in found:
        each.compile()
    folder = code_folder(TARGET.name)
    kept = [path.stat().st_size for path in folder.glob("*.nbc")]
    if not 0 < len(set(found)) <= len(kept):
        raise RuntimeError(f"{len(kept)} of {len(set(found))} compiled functions are in {folder}")
    seconds = time.perf_counter() - started
    return f"{folder}: {len(kept)} functions, {sum(kept) / 1e6:.1f} MB, {seconds:.1f} s"


def main(targets: list[str]) -> int:
    if not targets:
        print(compile_all(), flush=True)
        return 0
    for target in targets:  # numba has one target for a process
        done = subprocess.run(
            [sys.executable, "-m", __spec__.name], env={**os.environ, "ENGINE_TARGET": target}
        )
        if done.returncode:
            return done.returncode
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
