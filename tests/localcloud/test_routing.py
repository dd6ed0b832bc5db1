"""Routes, and how a bug of the emulator is answered."""

import io

from localcloud.messages import ApiError, Headers, Request, json_response
from localcloud.routing import Route, Router


def answer(router, method, target):
    return router.answer(Request(method, target, Headers(), io.BytesIO()))


def test_segments_are_decoded_after_the_path_is_split():
    router = Router([Route("GET", "/b/{bucket}/o/{name}", lambda request, **got: json_response(got))])

    assert answer(router, "GET", "/b/x/o/a%2Fb%20c").body == b'{"bucket":"x","name":"a/b c"}'
    assert answer(router, "GET", "/b/x/o/a/b").status == 404


def test_a_segment_that_is_not_utf_8_is_refused():
    router = Router([Route("GET", "/{name}", lambda request, name: json_response(name))])

    assert answer(router, "GET", "/%FF").status == 400


def test_an_error_is_answered_in_the_format_of_its_route():
    def refuse(request):
        raise ApiError(409, "taken")

    def teapot(error):
        return json_response(error.message, 418)

    router = Router([Route("GET", "/x", refuse, teapot)])

    assert answer(router, "GET", "/x").status == 418


def test_a_bug_is_answered_as_400_and_its_traceback_printed(capsys):
    def broken(request):
        raise KeyError("gama")

    router = Router([Route("GET", "/x", broken)])

    response = answer(router, "GET", "/x")

    assert response.status == 400
    assert b"Fault of the emulator" in response.body
    assert b"emulatorFault" in response.body
    assert "in broken" in capsys.readouterr().err
