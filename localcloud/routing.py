"""Which function answers a request, and what an error becomes.

Knows nothing of sockets: a batch request runs its parts through the same router.
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
    """`pattern` holds {name} for one path segment and {name:path} for the rest of the path.

    Segments are decoded after the path is taken apart, so a name may hold an encoded slash.
    The handler is called with the request and the segments, by name.
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

    `normalise` brings the paths under which a service offers the same thing into one form.
    """

    def __init__(self, routes: Sequence[Route], normalise: Callable[[str], str] = lambda p: p):
        self._routes = [(route, _expression(route.pattern)) for route in routes]
        self._normalise = normalise

    def match(self, request: Request) -> Match | None:
        path = self._normalise(request.path)
        method = "GET" if request.method == "HEAD" else request.method
        for route, expression in self._routes:
            if route.method == method and (found := expression.fullmatch(path)):
                return Match(route, found.groupdict())
        return None

    def answer(self, request: Request, match: Match | None = None) -> Response:
        """The response to a request; an error is one too, in the form its route gives errors.

        Only a broken connection is raised: there is nobody left to answer.
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
        raise ApiError(400, f"The path holds text that is not UTF-8: {segment}") from error


def _emulator_fault(error: Exception) -> ApiError:
    """A bug of ours, told as 400: clients repeat a 5xx for minutes and hide where it broke."""
    traceback.print_exception(error, file=sys.stderr)
    message = f"Fault of the emulator, see its stderr: {type(error).__name__}: {error}"
    return ApiError(400, message, reason="emulatorFault")
