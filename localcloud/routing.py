"""Routes: which function answers a request, and how an error is answered.

Sockets are in server.py; the parts of a batch request go through the same router.
"""

import re
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from urllib.parse import unquote

from localcloud.messages import ApiError, Request, Response, error_response

Handler = Callable[..., Response]
ErrorFormat = Callable[[ApiError], Response]

NO_ROUTE = "(no route)"


@dataclass(frozen=True)
class Route:
    """A method and a path pattern: {name} is one path segment, {name:path} the rest of the path.

    Segments are decoded after the path is split, so a name may contain an encoded slash. The handler is
    called with the request and the segments, by name.
    """

    method: str
    pattern: str
    handler: Handler
    format_error: ErrorFormat = error_response

    @property
    def name(self) -> str:
        return f"{self.method} {self.pattern}"


@dataclass(frozen=True)
class Match:
    route: Route
    arguments: dict[str, str]


class Router:
    """A service's routes, tried in order.

    `normalise` maps the different paths of one resource to a single path. `by_host` is asked first, and
    matches a request by its host name.
    """

    def __init__(
        self,
        routes: Sequence[Route],
        normalise: Callable[[str], str] = lambda path: path,
        by_host: Callable[[Request], Match | None] = lambda request: None,
    ):
        self._routes = [(route, _expression(route.pattern)) for route in routes]
        self._normalise, self._by_host = normalise, by_host

    def match(self, request: Request) -> Match | None:
        if found := self._by_host(request):
            return found
        path = self._normalise(request.path)
        method = "GET" if request.method == "HEAD" else request.method
        for route, expression in self._routes:
            if route.method == method and (found := expression.fullmatch(path)):
                return Match(route, found.groupdict())
        return None

    def answer(self, request: Request, match: Match | None = None) -> Response:
        """Return the response to a request; an error becomes a response in the format of its route.

        Only a broken connection is raised, because nobody is left to answer.
        """
        match = match or self.match(request)
        format_error = match.route.format_error if match else error_response
        try:
            if match is None:
                raise ApiError(404, f"localcloud has no {request.method} {request.path}")
            arguments = {name: _decode(text) for name, text in match.arguments.items()}
            return match.route.handler(request, **arguments)
        except ApiError as error:
            return format_error(error)
        except ConnectionError:
            raise
        except Exception as error:
            return format_error(_emulator_fault(error))


def _expression(pattern: str) -> re.Pattern:
    parts = re.split(r"\{(\w+)(:path)?\}", pattern)
    texts, names, greedy = parts[0::3], parts[1::3], parts[2::3]
    expression = re.escape(texts[0])
    for name, is_path, text in zip(names, greedy, texts[1:], strict=True):
        expression += f"(?P<{name}>{'.+' if is_path else '[^/]+'})" + re.escape(text)
    return re.compile(expression)


def _decode(segment: str) -> str:
    try:
        return unquote(segment, errors="strict")
    except UnicodeDecodeError as error:
        raise ApiError(400, f"The path is not UTF-8: {segment}") from error


def _emulator_fault(error: Exception) -> ApiError:
    """Return a bug of the emulator as a 400: clients retry a 5xx for minutes and hide the cause."""
    traceback.print_exception(error, file=sys.stderr)
    message = f"Fault of the emulator, see its stderr: {type(error).__name__}: {error}"
    return ApiError(400, message, reason="emulatorFault")
