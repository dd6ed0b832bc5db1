"""The files of a run in memory, under the names that the stages give them, and as one zip.

What `prepare` returns is such a zip, and so is what `predict` returns. Equal files give equal bytes.
"""

import io
import zipfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from modeling.failures import UserError
from pipeline.storage import MissingFile, Storage, check_name

_ALWAYS = (1980, 1, 1, 0, 0, 0)  # the time of every entry


class PackedFiles(Storage):
    """The files in some zips, read when they are asked for, and those that are written to it.

    Parameters
    ----------
    zips : bytes
        As packed() returns them. A later one replaces the files of an earlier one.

    Raises
    ------
    UserError
        One is damaged.
    """

    def __init__(self, *zips: bytes):
        super().__init__()
        self._zipped: dict[str, zipfile.ZipFile] = {}
        self._written: dict[str, bytes] = {}
        for content in zips:
            try:
                opened = zipfile.ZipFile(io.BytesIO(content))
            except (zipfile.BadZipFile, ValueError, NotImplementedError, OSError) as error:
                raise _damaged(error) from None
            for entry in opened.infolist():
                check_name(entry.filename)
                if entry.compress_type != zipfile.ZIP_STORED:  # it could unpack to anything
                    raise _damaged(f"{entry.filename} is compressed")
                self._zipped[entry.filename] = opened

    def packed(self) -> bytes:
        """Return the written files as a zip; those that were read from zips are not in it."""
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as archive:
            for name in sorted(self._written):
                entry = zipfile.ZipInfo(name, _ALWAYS)
                entry.create_system = 3  # Unix, on every machine
                archive.writestr(entry, self._written[name])
        return packed.getvalue()

    def save_bytes(self, name: str, data: bytes, *, overwrite: bool = True) -> bool:
        check_name(name)
        if not overwrite and self.exists(name):
            return self.load_bytes(name) == data
        self._written[name] = data
        return True

    def save_file(self, name: str, path: Path, *, overwrite: bool = True) -> bool:
        return self.save_bytes(name, path.read_bytes(), overwrite=overwrite)

    def load_bytes(self, name: str, start: int = 0, length: int | None = None) -> bytes:
        data = self._written.get(name)
        if data is None:
            if name not in self._zipped:
                raise MissingFile(f"{name}: no such file")
            try:
                data = self._zipped[name].read(name)
            except (zipfile.BadZipFile, EOFError, RuntimeError, OSError, ValueError) as error:
                raise _damaged(error) from None
        return data[start:] if length is None else data[start : start + length]

    def delete_file(self, name: str) -> None:
        self._written.pop(name, None)
        self._zipped.pop(name, None)

    def list_files(self, prefix: str) -> Iterator[str]:
        names = {*self._zipped, *self._written}
        yield from sorted(name for name in names if name.startswith(prefix))

    def exists(self, name: str) -> bool:
        return name in self._written or name in self._zipped

    def get_path(self, name: str = "") -> str:
        return name

    def _each(self, function, items: Iterable, at_once: Callable[[], int]) -> Iterator:
        return map(function, items)  # memory answers faster than a thread starts


def _damaged(reason: object) -> UserError:
    return UserError(
        f"the inputs or results between the services are damaged ({reason}); upload the file again"
    )
