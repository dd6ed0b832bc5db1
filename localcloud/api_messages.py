"""What a client sends, read as a message of the real API: unknown fields and wrong values are refused."""

from collections.abc import Mapping
from typing import Any

from localcloud.messages import ApiError


def read_as(kind: type, asked: Mapping[str, Any]) -> dict[str, Any]:
    """Return a resource as the API writes it: names in camelCase, what has its default left out.

    `kind` is a message class of a client library, such as batch_v1.Job. Its caller imports it when the first
    one comes: it takes half a second, and most runs of the emulator have none.

    Raises
    ------
    ApiError
        400: it is none of this kind.
    """
    from google.protobuf import json_format

    try:
        message = json_format.ParseDict(dict(asked), kind.pb(kind()))
    except json_format.ParseError as error:
        reason = " ".join(str(error).split())
        raise ApiError(400, f"Invalid JSON payload received. {reason}") from error
    return json_format.MessageToDict(message)
