"""Compile the engine ahead, so that no task does: for the image, or a machine without a writable home.

    python -m modeling.engine.precompile [--here | x86-64-v3 x86-64-v4]

Without a target, it compiles for all; with --here, for the one that this CPU takes. The code goes where the
engine looks for it: NUMBA_CACHE_DIR, or the user's cache. A target that this CPU cannot run is only compiled.
"""

import importlib
import re
import sys
import time
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin

import numpy as np

from modeling.engine.code_folder import ENGINE, code_folder, compile_into, open_for_writing, write_code
from modeling.engine.machine_code import ENTRY, Kernel, fields_of, number_of_words
from modeling.engine.target import TARGET, known_targets, shipped_targets
from modeling.failures import listed

_KERNEL = re.compile(r"^\w+ = Kernel\(", re.MULTILINE)
# numba leaves calls of it in the code; it frees arrays that were allocated, so it is never called
_NEVER_CALLED = "NRT_MemInfo_call_dtor"


def main(arguments: list[str]) -> int:
    if arguments[:1] == ["--into"]:
        _compile_here(Path(arguments[1]), arguments[2])
        return 0
    if arguments == ["--here"]:
        arguments = [TARGET.name]
    for unknown in (each for each in arguments if each not in known_targets()):
        print(f'"{unknown}": this machine can compile for {listed(known_targets())}', file=sys.stderr)
        return 2
    for target in arguments or shipped_targets():
        folder, started = code_folder(target), time.perf_counter()
        if not open_for_writing(folder):
            reason = "cannot be written, or is another user's"
            print(f"{folder} {reason}; set NUMBA_CACHE_DIR to a folder of your own", file=sys.stderr)
            return 2
        compile_into(folder, target=target)
        sizes = [path.stat().st_size for path in folder.glob("*.o")]
        seconds = time.perf_counter() - started
        print(f"{folder}: {sum(sizes) / 1e6:.1f} MB, {seconds:.1f} s", flush=True)
    return 0


def _compile_here(folder: Path, name: str) -> None:
    """Compile a kernel of the engine by its file's name, or all, by this process."""
    kernels = []
    for path in sorted(ENGINE.glob("*.py")):
        if _KERNEL.search(path.read_text(encoding="utf-8")):
            module = importlib.import_module(f"modeling.engine.{path.stem}")
            kernels += [each for each in vars(module).values() if isinstance(each, Kernel)]
    kernels = list(dict.fromkeys(kernels))
    if not kernels:
        raise RuntimeError(f"no file in {ENGINE} has a kernel")
    names = [kernel.file_name for kernel in kernels]
    if twice := {each for each in names if names.count(each) > 1}:
        raise RuntimeError(f"two kernels would be compiled into {', '.join(sorted(twice))}; use one")
    for kernel in (each for each in kernels if name in ("", each.file_name)):
        write_code(folder / kernel.file_name, _object_of(kernel))


def _object_of(kernel: Kernel) -> bytes:
    """Return the object file of a kernel: its function, and one that calls it with words in memory."""
    import llvmlite.binding as llvm
    from numba import njit

    from modeling.engine.compiled import OPTIONS

    function = getattr(importlib.import_module(kernel.module), kernel.function).py_func
    dispatcher = njit(no_cpython_wrapper=True, no_cfunc_wrapper=True, **OPTIONS)(function)
    types = tuple(numba_type(kind) for kind in kernel.types)
    dispatcher.compile(types)
    made = dispatcher.overloads[types]
    module = made.library._final_module.clone()
    unknown = [
        each.name
        for each in module.functions
        if each.is_declaration and not each.name.startswith("llvm.") and each.name != _NEVER_CALLED
    ]
    if unknown:
        raise RuntimeError(
            f"{kernel.function} calls {', '.join(unknown)} of numba, which a stage does not load: it "
            "allocates an array, or uses a function of numpy that does; write a loop"
        )
    inner = module.get_function(made.fndesc.llvm_func_name)
    _check_call(kernel, made.signature.return_type, list(inner.arguments))
    module.link_in(llvm.parse_assembly(_entry_of(inner, module.triple)))
    return made.library.codegen._tm.emit_object(module)


def _check_call(kernel: Kernel, returned: Any, arguments: list[Any]) -> None:
    """Refuse a function that is called in another way than Kernel does; numba does not document how it is."""
    from numba import types

    number = 2 + sum(number_of_words(kind) for kind in kernel.types)
    if returned != types.none or len(arguments) != number or str(arguments[1].type) != "ptr":
        raise RuntimeError(
            f"{kernel.function} returns {returned} and takes {len(arguments)} words, but a Kernel returns "
            f"nothing and passes {number}, the first two for numba"
        )


def _entry_of(function: Any, triple: str) -> str:
    """Return LLVM's text of a function that loads all arguments from memory, 8 bytes each."""
    kinds = [str(each.type) for each in function.arguments]
    loads = [
        f"%p{i} = getelementptr i64, ptr %words, i64 {i}\n%a{i} = load {kind}, ptr %p{i}"
        for i, kind in enumerate(kinds[2:])
    ]
    passed = ", ".join(f"{kind} %a{i}" for i, kind in enumerate(kinds[2:]))
    lines = [
        f'target triple = "{triple}"',
        f'declare i32 @"{function.name}"({", ".join(kinds)})',
        f"define i32 @{ENTRY}(ptr %words) {{",
        "%value = alloca ptr",
        "%error = alloca ptr",
        *loads,
        f'%status = call i32 @"{function.name}"(ptr %value, ptr %error, {passed})',
        "ret i32 %status",
        "}",
        "declare void @llvm.trap()",
        f"define void @{_NEVER_CALLED}(ptr %0) {{",
        "call void @llvm.trap()",
        "unreachable",
        "}",
    ]
    return "\n".join(lines)


def numba_type(kind: Any) -> Any:
    from numba import from_dtype, types

    if get_origin(kind) is Annotated:
        _, dtype, dimensions = get_args(kind)
        return types.Array(from_dtype(dtype), dimensions, "C")
    if hasattr(kind, "_fields"):
        fields = [numba_type(each) for each in fields_of(kind)]
        if len(set(fields)) == 1:
            return types.NamedUniTuple(fields[0], len(fields), kind)
        return types.NamedTuple(fields, kind)
    return {int: types.int64, float: types.float64, bool: types.boolean, np.uint64: types.uint64}[kind]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
