"""Archives of a forecasting repository, good and evil, in a store."""

import tarfile
from pathlib import Path

from pipeline.artifacts import RunFiles
from pipeline.storage import FolderStorage


def tar_entry(name: str, link: str = "", **more) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    if link:
        entry.type, entry.linkname = tarfile.SYMTYPE, link
    for field, value in more.items():
        setattr(entry, field, value)
    return entry


def sparse_entry(name: str) -> tarfile.TarInfo:
    headers = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": "9000000000000"}
    return tar_entry(name, pax_headers=headers | {"GNU.sparse.name": name})


def stored_archive(folder: Path, archive: bytes) -> RunFiles:
    """Return the files of a run whose repository is this archive."""
    storage = FolderStorage(folder / "bucket")
    storage.save_bytes("trial/builder-artifacts/forecast.tar.gz", archive)
    return RunFiles(storage, "trial/", "trial/")
