"""The SQLite file with everything except large contents, and its lock.

Its tables belong to buckets.py, objects.py and uploads.py.
"""

import sqlite3
import threading
from pathlib import Path
from typing import Any

_VERSION = """
    bucket TEXT NOT NULL,
    name TEXT NOT NULL,
    generation INTEGER NOT NULL,
    metageneration INTEGER NOT NULL,
    size INTEGER NOT NULL,
    crc32c TEXT NOT NULL,
    md5 TEXT,
    component_count INTEGER,
    created_us INTEGER NOT NULL,
    updated_us INTEGER NOT NULL,
    properties TEXT NOT NULL,
    inline BLOB"""  # columns of an object's version
_SCHEMA = f"""
CREATE TABLE IF NOT EXISTS buckets (
    name TEXT PRIMARY KEY,
    resource TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS objects ({_VERSION}, PRIMARY KEY (bucket, name));
CREATE TABLE IF NOT EXISTS noncurrent ({_VERSION}, deleted_us INTEGER NOT NULL, PRIMARY KEY (generation));
CREATE INDEX IF NOT EXISTS noncurrent_names ON noncurrent (bucket, name);
CREATE TABLE IF NOT EXISTS uploads (
    id TEXT PRIMARY KEY,
    bucket TEXT NOT NULL,
    name TEXT NOT NULL,
    metadata TEXT NOT NULL,
    conditions TEXT NOT NULL,
    finished TEXT,
    member TEXT NOT NULL DEFAULT ''
);
"""


class Database:
    """One connection for all threads; SQLite serialises writes anyway.

    Hold `lock` to read and then act on what was read.
    """

    def __init__(self, path: Path):
        self.lock = threading.RLock()
        self._connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._connection.row_factory = sqlite3.Row
        # A killed process loses nothing, a power failure at most the last moments, and never half a row.
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = NORMAL")
        self._connection.executescript(_SCHEMA)
        columns = {row["name"] for row in self.execute("PRAGMA table_info(uploads)")}
        if "member" not in columns:  # in a folder of an older emulator
            self.execute("ALTER TABLE uploads ADD COLUMN member TEXT NOT NULL DEFAULT ''")

    def execute(self, sql: str, values: tuple[Any, ...] = ()) -> list[sqlite3.Row]:
        with self.lock:
            return self._connection.execute(sql, values).fetchall()
