"""Packed records that do something when they are loaded, and any record packed as a stage packs it."""

import pickle
import zlib


def packed(record: object) -> bytes:
    return zlib.compress(pickle.dumps(record))


class Touch:
    """A pickle of it creates a file when it is loaded."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def touch_through_ours(path) -> bytes:
    """Return a pickle that reaches code through a module that may be named."""

    def text(content: str) -> bytes:
        return b"\x8c" + bytes([len(content)]) + content.encode()

    call = text("modeling.workload") + text("np.testing.runstring") + b"\x93"
    return zlib.compress(b"\x80\x04" + call + text(f"open({str(path)!r}, 'w')") + b"}" + b"\x86R.")
