"""The routes of objects under /b/{bucket}/o, except uploads, which are in upload_routes.py."""

from localcloud.messages import ApiError, Request, Response, json_response
from localcloud.rights.callers import need
from localcloud.rights.resources import object_name
from localcloud.routing import Route
from localcloud.shapes import ANYTHING, check_shape, without_nulls
from localcloud.storage.buckets import Buckets
from localcloud.storage.download import download
from localcloud.storage.fields import select_fields
from localcloud.storage.listing import Listing, list_page
from localcloud.storage.objects import ObjectRecord, Objects, Target
from localcloud.storage.preconditions import Preconditions, whole_number
from localcloud.storage.resources import merge, new_properties, object_resource, settable_properties
from localcloud.storage.rules import check_object_name

MAX_COMPOSE_SOURCES = 32
_MORE = {"*": ANYTHING}  # fields that are not looked at, or elsewhere
_SOURCE = {"name": str, "objectPreconditions": _MORE, **_MORE}
_COMPOSITION = {"sourceObjects": [_SOURCE], "destination": _MORE, **_MORE}


class ObjectRoutes:
    def __init__(self, buckets: Buckets, objects: Objects):
        self._buckets = buckets
        self._objects = objects

    def routes(self) -> list[Route]:
        item = "/b/{bucket}/o/{name}"
        return [
            Route("GET", "/b/{bucket}/o", self.list),
            Route("GET", item, self.get),
            Route("PATCH", item, self.patch),
            Route("PUT", item, self.update),
            Route("DELETE", item, self.delete),
            Route("POST", item + "/compose", self.compose),
            Route("POST", item + "/rewriteTo/b/{to_bucket}/o/{to_name}", self.rewrite),
            Route("POST", item + "/copyTo/b/{to_bucket}/o/{to_name}", self.copy),
        ]

    def list(self, request: Request, bucket: str) -> Response:
        self._buckets.need(bucket)
        page = list_page(self._objects, Listing.from_query(bucket, request.query))
        answer = {"kind": "storage#objects"}
        if page.next_token:
            answer["nextPageToken"] = page.next_token
        if page.prefixes:
            answer["prefixes"] = page.prefixes
        if page.records:
            answer["items"] = [object_resource(each, request.base_url) for each in page.records]
        return _json(request, answer)

    def get(self, request: Request, bucket: str, name: str) -> Response:
        target = target_of(request, bucket, name)
        if request.query.get("alt") == "media":
            return download(self._objects, request, target)
        return _object(request, self._objects.get(target))

    def patch(self, request: Request, bucket: str, name: str) -> Response:
        patch = settable_properties(request.json())
        return self._change(request, bucket, name, lambda old: merge(old, patch))

    def update(self, request: Request, bucket: str, name: str) -> Response:
        properties = new_properties(request.json())
        return self._change(request, bucket, name, lambda old: properties)

    def delete(self, request: Request, bucket: str, name: str) -> Response:
        self._objects.delete(target_of(request, bucket, name))
        return Response(204)

    def compose(self, request: Request, bucket: str, name: str) -> Response:
        """Concatenate objects into one."""
        check_object_name(name)
        body = without_nulls(request.json())
        check_shape(body, _COMPOSITION, "body")
        sources = [_compose_source(bucket, source) for source in body.get("sourceObjects") or []]
        if not 1 <= len(sources) <= MAX_COMPOSE_SOURCES:
            raise ApiError(400, f"Compose takes 1 to {MAX_COMPOSE_SOURCES} objects, not {len(sources)}.")
        properties = new_properties(body.get("destination") or {})
        with self._objects.draft() as draft:
            components = 0
            for source in sources:
                need("storage.objects.get", object_name(source.bucket, source.name))
                record, file = self._objects.open(source)
                with file:
                    draft.write_all(file)
                components += record.component_count or 1
            target = target_of(request, bucket, name)
            made = self._objects.put(target, draft.seal(with_md5=False), properties, components)
        return _object(request, made)

    def rewrite(self, request: Request, bucket: str, name: str, to_bucket: str, to_name: str) -> Response:
        made = self._duplicate(request, bucket, name, to_bucket, to_name)
        answer = {
            "kind": "storage#rewriteResponse",
            "totalBytesRewritten": str(made.size),
            "objectSize": str(made.size),
            "done": True,
            "resource": object_resource(made, request.base_url),
        }
        return _json(request, answer)

    def copy(self, request: Request, bucket: str, name: str, to_bucket: str, to_name: str) -> Response:
        return _object(request, self._duplicate(request, bucket, name, to_bucket, to_name))

    def _duplicate(
        self, request: Request, bucket: str, name: str, to_bucket: str, to_name: str
    ) -> ObjectRecord:
        settings = settable_properties(request.json())
        source = Target(
            bucket,
            name,
            whole_number(request.query, "sourceGeneration"),
            Preconditions.from_query(request.query, "ifSource"),
        )
        record, content = self._objects.duplicate(source)
        try:
            properties = record.properties
            if settings:
                properties = new_properties(settings, record.properties.get("contentType"))
            target = Target(to_bucket, to_name, conditions=Preconditions.from_query(request.query))
            return self._objects.put(target, content, properties, record.component_count)
        finally:
            content.discard()

    def _change(self, request: Request, bucket: str, name: str, change) -> Response:
        return _object(request, self._objects.change(target_of(request, bucket, name), change))


def target_of(request: Request, bucket: str, name: str) -> Target:
    """Return the object that a request names, with its conditions."""
    generation = whole_number(request.query, "generation")
    return Target(bucket, name, generation, Preconditions.from_query(request.query))


def _compose_source(bucket: str, source: dict) -> Target:
    conditions = source.get("objectPreconditions") or {}
    return Target(
        bucket,
        str(source.get("name", "")),
        whole_number(source, "generation"),
        Preconditions(generation_match=whole_number(conditions, "ifGenerationMatch")),
    )


def _object(request: Request, record: ObjectRecord) -> Response:
    return _json(request, object_resource(record, request.base_url))


def _json(request: Request, value: dict) -> Response:
    return json_response(select_fields(value, request.query.get("fields", "")))
