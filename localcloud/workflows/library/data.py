"""json.*, base64.*, hash.* and uuid.*: values to text or bytes and back."""

import base64
import binascii
import hashlib
import hmac
import uuid
from typing import Any

from localcloud.workflows.errors import error
from localcloud.workflows.json_text import from_json, json_bytes
from localcloud.workflows.library.function import Library
from localcloud.workflows.values import checked

DATA = Library()
_ALGORITHMS = {"MD5": "md5", "SHA1": "sha1", "SHA256": "sha256", "SHA512": "sha512"}


@DATA.function("json.decode")
def json_decode(data: str | bytes) -> Any:
    try:
        return from_json(data)
    except ValueError as wrong:
        raise error("ValueError", f"not JSON: {wrong}") from None


@DATA.function("json.encode")
def json_encode(data: Any, indent: str | dict | None = None) -> bytes:
    space = indent.get("indent") if isinstance(indent, dict) else indent
    if not isinstance(space, str | int | None):
        raise error("TypeError", "the indent of JSON must be a string or an integer")
    return json_bytes(data, space)


@DATA.function("json.encode_to_string")
def json_encode_to_string(data: Any, indent: str | dict | None = None) -> str:
    return checked(json_encode(data, indent).decode())


@DATA.function("base64.decode")
def base64_decode(data: str, padding: bool = True) -> bytes:
    complete = data if padding else data + "=" * (-len(data) % 4)
    try:
        return base64.b64decode(complete, validate=True)
    except (binascii.Error, ValueError) as wrong:
        raise error("ValueError", f"not base64: {wrong}") from None


@DATA.function("base64.encode")
def base64_encode(data: bytes, padding: bool = True) -> str:
    text = base64.b64encode(data).decode()
    return checked(text if padding else text.rstrip("="))


@DATA.function("hash.compute_checksum")
def compute_checksum(data: bytes, algorithm: str) -> bytes:
    return hashlib.new(_algorithm(algorithm), data).digest()


@DATA.function("hash.compute_hmac")
def compute_hmac(key: bytes, data: bytes, algorithm: str) -> bytes:
    return hmac.new(key, data, _algorithm(algorithm)).digest()


@DATA.function("uuid.generate")
def generate_uuid() -> str:
    return str(uuid.uuid4())


def _algorithm(name: str) -> str:
    if name not in _ALGORITHMS:
        raise error("ValueError", f"the algorithm {name} is not one of {', '.join(_ALGORITHMS)}")
    return _ALGORITHMS[name]
