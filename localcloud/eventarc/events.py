"""The event of a finalized object, in the form in which Workflows passes it to an execution.

https://cloud.google.com/eventarc/docs/cloudevents-json. The data is the object as the JSON API shows it, so
size and generation are text.
"""

import uuid
from typing import Any

from localcloud.eventarc.triggers import FINALIZED
from localcloud.storage.objects import ObjectRecord
from localcloud.storage.resources import object_resource

_LINKS = "https://storage.googleapis.com"  # which workflows reach


def event_of(record: ObjectRecord) -> dict[str, Any]:
    """Return a new event of a finalized object."""
    data = object_resource(record, _LINKS)
    return {
        "bucket": record.bucket,
        "data": data,
        "datacontenttype": "application/json",
        "id": str(uuid.uuid4().int % 10**17),
        "source": f"//storage.googleapis.com/projects/_/buckets/{record.bucket}",
        "specversion": "1.0",
        "subject": f"objects/{record.name}",
        "time": data["timeFinalized"],
        "type": FINALIZED,
    }
