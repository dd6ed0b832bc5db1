"""The emulated Cloud Workflows beyond the conformance cases: expressions, scopes, errors, retries."""

import itertools
import time

import pytest

from localcloud.workflows.errors import WorkflowError
from localcloud.workflows.strand import run_main
from tests.localcloud.workflow_runs import error_of, result_of, run_of, value_of


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("1 + 2 * 3 - 4", 3),
        ("-2 * -3", 6),
        ("(1 + 2) * 3", 9),
        ("10 / 2", 5.0),
        ("not true or true", True),
        ("NOT False AND TRUE OR false", True),
        ("not false == true", True),
        ("true or false and false", True),
        ("1 < 2 and 2 < 3", True),
        ("false and nosuch.key", False),
        ("true or nosuch.key", True),
        ("1 == 1.0", True),
        ("true == 1", False),
        ("null == false", False),
        ('{"a": [1, 2]} == {"a": [1, 2.0]}', True),
        ('1 in [true, "1"]', False),
        ("1.5e3", 1500.0),
        (r'"a\"b\n\u00e9"', 'a"b\né'),
        (r'"\ud83d\ude00 \ud800"', "\U0001f600 \ufffd"),
        (r'json.decode("[\"\\ud83d\\ude00\\ud800\"]")[0]', "\U0001f600\ufffd"),
        ('json.decode("12345678901234567890")', 12345678901234567890.0),
        ("+1 + +2.5", 3.5),
        ('int("-012") + double(".5e1")', -7.0),
        ('{"a": {"b": [10, 20]}}.a["b"][1]', 20),
        ("string(1.5) + string(true)", "1.5true"),
        ("int(2.9)", 2),
        ('get_type(1.0) + get_type(null) + get_type(text.encode("x"))', "doublenullbytes"),
        ('text.url_decode("a%20b%2Fc")', "a b/c"),
        ('json.decode(json.encode({"a": [null, 1.5]})).a[1]', 1.5),
        ('time.format(0, "Europe/Berlin")', "1970-01-01T01:00:00+01:00"),
        ("math.max(2.0, math.min(300.0, 0.02 * 7))", 2.0),
        ("math.max(2, 3)", 3),
        (r'text.match_regex("flu", "^[[:alpha:]]+\\z")', True),
        ('text.find_all_regex("a1é22", "[0-9]+")[1].index', 3),
        (r'text.replace_all_regex("ab", "(a)", "\\1-$1")', r"\1-$1b"),
        ('text.replace_all_regex("foobar", "foo|foobar", "x")', "x"),
        ('text.replace_all_regex("ab", "", "-")', "-a-b-"),
        ('text.replace_all_regex("Grün 7", "[^a-z0-9_-]", "-")', "-r-n-7"),
    ],
)
def test_an_expression_has_its_value(expression, value):
    found = value_of(expression)

    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("expression", "tag"),
    [
        ('"a" + 1', "TypeError"),
        ("1 and true", "TypeError"),
        ("not 1 == 2", "TypeError"),
        ('"a" < 1', "TypeError"),
        ("null.x", "TypeError"),
        ('{"a": 1}.b', "KeyError"),
        ("[1, 2][2]", "IndexError"),
        ("[1, 2][-1]", "IndexError"),
        ("1 / 0", "ZeroDivisionError"),
        ("1 % 0", "ZeroDivisionError"),
        ('int("x")', "ValueError"),
        ('int("1_000")', "ValueError"),
        ('int(" 1 ")', "ValueError"),
        ('double("inf")', "ValueError"),
        ('double("nan")', "ValueError"),
        ("1e308 * 10", "ValueError"),
        ("int(1e300)", "ValueError"),
        ('+"a"', "TypeError"),
        ('json.decode("NaN")', "ValueError"),
        ('json.decode("1e999")', "ValueError"),
        ('text.encode("a..b", "idna")', "ValueError"),
        ('json.encode([1], {"indent": {}})', "TypeError"),
        ("9223372036854775807 + 1", "ValueError"),
        ("len(1)", "TypeError"),
        ('text.match_regex("a", "(?=a)")', "ValueError"),
        ('text.match_regex("ab", "(?<=a)b")', "ValueError"),
        (r'text.find_all_regex("aa", "(a)\\1")', "ValueError"),
        ('text.replace_all_regex("aa", "a++", "")', "ValueError"),
        (r'text.match_regex("a", "a\\Z")', "ValueError"),
        ('text.match_regex("a", "a{1001}")', "ValueError"),
        ('text.match_regex("a", "(")', "ValueError"),
        ('text.match_regex("a", 1)', "TypeError"),
        ("math.max(2, 0.5)", "TypeError"),
        ("math.min(300.0, 7)", "TypeError"),
        ('text.substring("abc", 2, 5)', "IndexError"),
        ('json.decode("{")', "ValueError"),
        ("string({})", "TypeError"),
        ('sys.get_env("NOPE")', "KeyError"),
        ("nosuch", "KeyError"),
    ],
)
def test_a_wrong_expression_raises_an_error_of_its_kind(expression, tag):
    with pytest.raises(WorkflowError) as raised:
        value_of(expression)

    assert tag in raised.value.value["tags"]
    assert raised.value.value["message"].startswith(f"{tag}: ")


def test_an_error_shows_where_it_was_raised():
    failed = error_of(
        """
main:
  steps:
  - prepare:
      assign: [{x: 1}]
  - ask:
      call: sub
      args: {n: 1}
sub:
  params: [n]
  steps:
  - fail:
      raise: {code: 7, message: "no"}
"""
    )

    shown = failed.resource()

    assert shown["payload"] == '{"code":7,"message":"no"}'
    assert 'in step "fail", routine "sub", line: 12' in shown["context"]
    assert [each["step"] for each in shown["stackTrace"]["elements"]] == ["fail", "ask"]
    assert shown["stackTrace"]["elements"][1]["position"]["line"] == "6"


def test_variables_of_for_except_and_branches_are_gone_after_them():
    source = """
main:
  steps:
  - loop:
      for:
        value: v
        in: [1]
        steps:
        - a: {assign: [{in_for: 1}]}
  - attempt:
      try: {raise: x}
      except:
        as: e
        steps:
        - a: {assign: [{in_except: 1}]}
  - both:
      parallel:
        branches:
        - one: {steps: [{a: {assign: [{in_branch: 1}]}}]}
  - r:
      return: ${%s}
"""
    for name in ("in_for", "in_except", "in_branch", "v", "e"):
        assert f"could not resolve reference: {name}" in error_of(source % name).value["message"]


def test_retries_wait_longer_each_time_and_end():
    source = """
main:
  steps:
  - init: {assign: [{times: []}]}
  - a:
      try:
        steps:
        - note: {assign: [{times: "${list.concat(times, sys.now())}"}]}
        - fail: {raise: {code: 503}}
      retry:
        predicate: ${http.default_retry_predicate}
        max_retries: 3
        backoff: {initial_delay: 20, max_delay: 50, multiplier: 2}
      except:
        as: e
        steps:
        - r: {return: "${times}"}
"""

    times = result_of(source, clock_speed=1000)

    waits = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert len(waits) == 3
    assert all(wanted <= wait < wanted + 19 for wait, wanted in zip(waits, (20, 40, 50), strict=True))


@pytest.mark.parametrize(
    ("policy", "code", "is_retried"),
    [
        ("http.default_retry", 429, True),
        ("http.default_retry", 503, True),
        ("http.default_retry", 500, False),
        ("http.default_retry_non_idempotent", 503, True),
        ("http.default_retry_non_idempotent", 502, False),
    ],
)
def test_a_policy_retries_the_documented_codes(policy, code, is_retried):
    source = """
main:
  steps:
  - init: {assign: [{n: 0}]}
  - a:
      try:
        steps:
        - count: {assign: [{n: "${n + 1}"}]}
        - fail: {raise: {code: %d}}
      retry: ${%s}
      except: {as: e, steps: [{r: {return: "${n}"}}]}
"""
    assert result_of(source % (code, policy), clock_speed=100_000) == (6 if is_retried else 1)


def test_an_unknown_host_is_refused_at_once_and_can_be_caught():
    source = """
main:
  steps:
  - a:
      try: {call: http.get, args: {url: "https://%s/x"}}
      except: {as: e, steps: [{r: {return: "${e.tags}"}}]}
"""
    for host in ("example.com", "compute.googleapis.com", "169.254.169.254", "127.0.0.1.example.com"):
        begun = time.monotonic()
        assert "ConnectionError" in result_of(source % host)
        assert time.monotonic() - begun < 0.1


def test_each_step_is_reported_as_it_starts():
    seen = []
    source = """
main:
  steps:
  - a: {call: sub}
  - b: {try: {raise: oh}, except: {as: e, assign: [{x: 1}]}}
sub: {steps: [{c: {assign: [{y: 1}]}}]}
"""

    run = run_of(source, on_step=lambda execution, record: seen.append((record.routine, record.step)))
    run_main(run, None)

    assert seen == [("main", "a"), ("sub", "c"), ("main", "b")]
    shown = run.history.resource()
    assert [each["number"] for each in shown] == [1, 2, 3]
    assert shown[2]["error"] == 'RuntimeError: "oh"'


def test_text_around_an_expression_is_kept_exactly():
    source = "main: {steps: [{s: {assign: [{x: 1}]}}, {r: {return: %s}}]}"

    assert result_of(source % r'"${x} and ${x + 1}\n"') == "1 and 2\n"
    assert result_of(source % r'" ${x}\n"') == 1


def test_words_of_yaml_1_1_are_text():
    source = """
main:
  steps:
  - on: {assign: [{yes: no}, {d: 2026-01-31}, {n: 010}, {t: 1:30}]}
  - off: {return: ["${yes}", "${d}", "${n}", "${t}"]}
"""
    assert result_of(source) == ["no", "2026-01-31", 10, "1:30"]


@pytest.mark.parametrize(
    "step",
    [
        "try: {raise: x}, retry: {predicate: '${retry.always}', backoff: '${1}'}",
        "call: googleapis.batch.v1.projects.locations.jobs.get,"
        " args: {name: j, connector_params: {polling_policy: [1]}}",
    ],
)
def test_settings_of_retries_and_connectors_must_be_maps(step):
    assert "TypeError" in error_of(f"main: {{steps: [{{a: {{{step}}}}}]}}").value["tags"]


@pytest.mark.parametrize("url", ["http://[::1", "ftp://127.0.0.1/", "nothing"])
def test_an_invalid_url_is_an_error_of_the_workflow(url):
    failed = error_of(f'main: {{steps: [{{a: {{call: http.get, args: {{url: "{url}"}}}}}}]}}')

    assert failed.value["tags"] == ["ValueError"]
