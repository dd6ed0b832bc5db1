"""A blueprint: the files of a Terraform configuration, and the rules of Infrastructure Manager for them.

https://cloud.google.com/infrastructure-manager/docs/terraform. A rule names the file, the line and what is
wrong. Conditions of variables and everything that a provider knows are Terraform's: see terraform.py.
"""

import posixpath
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from localcloud.infra.hcl import Block, Body, Expression, read_hcl
from localcloud.infra.tokens import NotReadable
from localcloud.infra.versions import NotAConstraint, admits

MAX_FILE_BYTES = 2**20  # of a file that is read as configuration
_READ_FILES = {"file", "filebase64", "templatefile", "filemd5", "filesha1", "filesha256", "filesha512"} | {
    "filebase64sha256",
    "filebase64sha512",
}
_LOOK_FOR_FILES = {"fileexists", "fileset"}
_SCALARS = {"string", "number", "bool", "any", ""}
_NUMBER = re.compile(r"-?\d+(\.\d+)?([eE][+-]?\d+)?")
_BOOLEANS = ("true", "false", "1", "0")

Files = Mapping[str, bytes]  # by path below the root


@dataclass(frozen=True)
class Source:
    """A file of configuration that was read."""

    path: str
    body: Body

    def at(self, line: int) -> str:
        return f"{self.path}:{line}"

    @property
    def folder(self) -> str:
        return posixpath.dirname(self.path) or "."


def problems_of(files: Files, inputs: Mapping[str, Any], version: str) -> list[str]:
    """Return what is wrong with a blueprint for a version of Terraform, one line each."""
    root = _paths_in(files, ".")
    if any(path.endswith(".tf.json") for path in files):
        return ["localcloud reads .tf files only, not .tf.json"]
    if not root:
        return ["No configuration files: there is no .tf file in the root of the blueprint"]
    sources, problems = _read_all(files, root)
    given, mistakes = _values_in_files(files)
    if problems or mistakes:
        return [*problems, *mistakes]
    top = [source for source in sources if source.path in root]
    return [
        *_problems_of_state(top),
        *(problem for source in sources for problem in _problems_of_version(source, version)),
        *(problem for source in sources for problem in _problems_of_modules(source, files)),
        *(problem for source in sources for problem in _problems_of_files(source, files)),
        *_problems_of_inputs(top, inputs, given),
    ]


def admits_terraform(files: Files, version: str) -> bool:
    """Return whether a readable blueprint admits a version of Terraform."""
    sources, _ = _read_all(files, _paths_in(files, "."))
    return not any(True for source in sources for _ in _problems_of_version(source, version))


def remote_modules(files: Files) -> list[str]:
    """Return the modules of a readable blueprint that lie elsewhere, which are not read here."""
    sources, _ = _read_all(files, _paths_in(files, "."))
    return sorted({where for source in sources for _, where in _modules(source) if not _is_path(where)})


def _read_all(files: Files, paths: list[str]) -> tuple[list[Source], list[str]]:
    """Return the configuration in `paths` and in the folders of its modules, and what cannot be read."""
    sources, problems, seen = [], [], set(paths)
    waiting = list(paths)
    while waiting:
        path = waiting.pop(0)
        try:
            source = Source(path, read_hcl(_text_of(files[path])))
        except NotReadable as mistake:
            problems.append(f"{path}:{mistake.line}: {mistake.reason}")
            continue
        sources.append(source)
        for _, where in _modules(source):
            if _is_path(where):
                more = _paths_in(files, _joined(source.folder, where))
                waiting += [each for each in more if each not in seen]
                seen.update(more)
    return sources, problems


def _text_of(data: bytes) -> str:
    if len(data) > MAX_FILE_BYTES:
        raise NotReadable(1, f"The file has more than {MAX_FILE_BYTES} bytes")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise NotReadable(line, "The file is not UTF-8") from error


def _paths_in(files: Files, folder: str) -> list[str]:
    """Return the files of a folder that Terraform reads, in order."""
    return sorted(
        path
        for path in files
        if (posixpath.dirname(path) or ".") == folder
        and path.endswith(".tf")
        and not posixpath.basename(path).startswith(".")
    )


def _problems_of_state(sources: list[Source]) -> Iterator[str]:
    for source in sources:
        for settings in source.body.named("terraform"):
            for kind in ("backend", "cloud"):
                for block in settings.body.named(kind):
                    name = f'{kind} "{block.name}"' if block.labels else kind
                    yield (
                        f"{source.at(block.line)}: {name}: Infrastructure Manager keeps the state itself; "
                        f"leave the {kind} block out"
                    )


def _problems_of_version(source: Source, version: str) -> Iterator[str]:
    for settings in source.body.named("terraform"):
        wanted = settings.body.arguments.get("required_version")
        if wanted is None:
            continue
        where = source.at(wanted.line)
        try:
            if not isinstance(wanted.value, str):
                yield f"{where}: required_version must be a plain string"
            elif not admits(wanted.value, version):
                yield (
                    f"{where}: Unsupported Terraform Core version: required_version "
                    f'"{wanted.value}" does not admit {version}'
                )
        except NotAConstraint as mistake:
            yield f"{where}: required_version: {mistake}"


def _modules(source: Source) -> Iterator[tuple[Expression, str]]:
    for block in source.body.named("module"):
        where = block.body.arguments.get("source")
        if where and isinstance(where.value, str):
            yield where, where.value


def _problems_of_modules(source: Source, files: Files) -> Iterator[str]:
    for where, path in _modules(source):
        if not _is_path(path):
            continue
        folder = _joined(source.folder, path)
        if _is_outside(folder):
            yield f'{source.at(where.line)}: module source "{path}" is outside the blueprint'
        elif not _paths_in(files, folder):
            yield f'{source.at(where.line)}: module source "{path}": no .tf file there in the blueprint'


def _problems_of_files(source: Source, files: Files) -> Iterator[str]:
    known = {"path.module": source.folder, "path.root": "."}
    for expression in source.body.expressions():
        for function, argument, line in expression.calls(known):
            if argument is None or function not in _READ_FILES | _LOOK_FOR_FILES:
                continue
            path = _joined(".", argument)
            if _is_outside(path):
                yield f'{source.at(line)}: {function}("{argument}") is outside the blueprint'
            elif function in _READ_FILES and path not in files:
                yield f'{source.at(line)}: {function}("{argument}"): no such file in the blueprint'


def _problems_of_inputs(
    sources: list[Source], inputs: Mapping[str, Any], in_files: set[str]
) -> Iterator[str]:
    declared: dict[str, list[tuple[Source, Block]]] = {}
    for source in sources:
        for block in source.body.named("variable"):
            declared.setdefault(block.name, []).append((source, block))
    for name in sorted(inputs.keys() - declared.keys()):
        yield f'Value for undeclared variable: the blueprint has no variable "{name}"'
    for name, found in declared.items():
        source, block = found[0]
        has_default = any("default" in each.body.arguments for _, each in found)
        if name in inputs:
            types = [each.body.arguments["type"].text for _, each in found if "type" in each.body.arguments]
            if reason := _misfit(inputs[name], types[-1] if types else ""):
                yield f'{source.at(block.line)}: Invalid value for input variable "{name}": {reason}'
        elif not has_default and name not in in_files:
            yield (
                f"{source.at(block.line)}: No value for required variable: "
                f'"{name}" is not given and has no default'
            )


def _misfit(value: Any, kind: str) -> str:
    """Return why Terraform cannot make a variable of a type from a scalar; empty if it can."""
    if kind not in _SCALARS:
        return f"it is a {kind}, and inputs are scalars"
    text = str(value).lower() if isinstance(value, bool) else str(value)
    if kind == "number" and (isinstance(value, bool) or not _NUMBER.fullmatch(text)):
        return f"a number is required, not {text!r}"
    if kind == "bool" and not isinstance(value, bool) and (type(value) is not str or text not in _BOOLEANS):
        return f"a bool is required, not {text!r}"
    return ""


def _values_in_files(files: Files) -> tuple[set[str], list[str]]:
    """Return the variables that the blueprint's own .tfvars files set, and what is unreadable in them."""
    names: set[str] = set()
    mistakes = []
    for path in sorted(files):
        if path == "terraform.tfvars" or ("/" not in path and path.endswith(".auto.tfvars")):
            try:
                names |= read_hcl(_text_of(files[path])).arguments.keys()
            except NotReadable as mistake:
                mistakes.append(f"{path}:{mistake.line}: {mistake.reason}")
    return names, mistakes


def _is_path(source: str) -> bool:
    return source.startswith(("./", "../", "/", "~")) or source in (".", "..")


def _joined(folder: str, path: str) -> str:
    return path if path.startswith("~") else posixpath.normpath(posixpath.join(folder, path))


def _is_outside(path: str) -> bool:
    return path == ".." or path.startswith(("/", "~", "../"))
