"""Mistakes in a workflow are refused at deployment, with their line."""

import pytest

from localcloud.workflows.parser import parse_workflow
from localcloud.workflows.source import SourceError

BRANCH = "{b%d: {steps: [{s: {assign: [{x: 1}]}}]}}"


def main_with(*steps):
    return "main:\n  steps:\n" + "".join(f"  - {step}\n" for step in steps)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("", "empty"),
        ("main:\n  steps:\n  - a:\n      assign: [x: 1\n", "main.yaml:"),
        ("sub: {steps: [{a: {return: 1}}]}", "no main"),
        ("main: {params: [a, b], steps: [{a: {return: 1}}]}", "one parameter"),
        ("main: {params: [a]}", "has no steps"),
        ("main: {step: []}", '"step"'),
        ("main: {steps: []}", "has no steps"),
        (main_with("a: {asign: [{x: 1}]}"), "main.yaml:3:"),
        (main_with("a: {assign: [{x: 1}], result: y}"), '"result"'),
        (main_with("a: {assign: {x: 1}}"), "assign must be a list"),
        (main_with("a: {assign: [{x: 1, y: 2}]}"), "one key"),
        (main_with('a: {assign: [{"x + 1": 1}]}'), "cannot assign to x + 1"),
        (main_with("a: {assign: [{x: 1}], next: nosuch}"), '"nosuch"'),
        (main_with("a: {steps: [{b: {return: 1}}]}", "c: {next: b}"), '"b"'),
        (main_with("a: {next: break}"), "not inside a for"),
        (main_with("a: {return: 1}", "a: {return: 2}"), "main.yaml:4:"),
        (main_with("a: {return: 1, return: 2}"), 'duplicate key "return"'),
        (main_with("end: {return: 1}"), '"end"'),
        (main_with("a: {call: nosuch}"), "unknown function nosuch"),
        (main_with('a: {return: "${nosuch(1)}"}'), "unknown function nosuch"),
        (main_with("a: {call: sys.sleep, args: {second: 1}}"), '"second"'),
        (main_with('a: {return: "${len(1, 2)}"}'), "takes 1 arguments"),
        (main_with('a: {return: "${http.get(x)}"}'), "call step"),
        (main_with('a: {assign: [{x: "${sys.sleep(1)}"}]}'), "call step"),
        (main_with('a: {return: "${googleapis.batch.v1.projects.locations.jobs.get(x)}"}'), "call step"),
        (main_with("a: {call: googleapis.compute.v1.instances.get}"), "no connector"),
        (main_with("a: {call: googleapis.batch.v1.projects.locations.jobs.get, args: {id: 1}}"), '"id"'),
        (main_with('a: {return: "${1 +}"}'), "expected a value"),
        (main_with('a: {return: "${1"}'), "no } closes"),
        (main_with('a: {return: "${(1}"}'), "expected )"),
        (main_with("a: {return: \"${'x'}\"}"), 'unexpected "\'"'),
        (main_with('a: {return: "${a not in b}"}'), "expected an operator"),
        (main_with('a: {return: "${if(true, 1)}"}'), "if takes 3"),
        (main_with('a: {return: "${%s}"}' % ("1" + "+1" * 200)), "400 characters"),
        (main_with('a: {return: "${%s"}' % ("(" * 150 + "}")), "expected a value"),
        (main_with('a: {return: "${1e400}"}'), "64 bits"),
        (main_with("a: {return: 9223372036854775808}"), "64 bits"),
        (main_with(f"a: {{return: {'9' * 5000}}}"), "64 bits"),
        (main_with("a: {return: -1e400}"), "64 bits"),
        ("main: " + "[" * 60_000, "nested too deeply"),
        (main_with("a: {switch: [{next: end}]}"), "without a condition"),
        (main_with('a: {switch: [{condition: "x == 1", next: end}]}'), "not a boolean"),
        (main_with("a: {for: {value: v, steps: [{b: {return: 1}}]}}"), "needs either in or range"),
        (main_with("a: {for: {value: v, in: [1], over: 2, steps: [{b: {return: 1}}]}}"), '"over"'),
        (main_with("a: {try: {raise: x}}"), "needs retry or except"),
        (main_with("a: {try: {raise: x}, except: {steps: [{b: {return: 1}}]}}"), "the key as"),
        (main_with("a: {try: {raise: x}, retry: {max_retries: 2}}"), "has no predicate"),
        (main_with('a: {try: {raise: x}, retry: "${http.default_rety}"}'), "http.default_rety"),
        (main_with('a: {try: {raise: x}, retry: {predicate: "${nosuch}"}}'), "nosuch"),
        (
            main_with("a: {parallel: {branches: [%s]}}" % (BRANCH % 1), "b: {assign: [{x: 1}], retry: 1}"),
            "retry",
        ),
        (main_with("a: {parallel: {branches: [{b: {steps: [{s: {return: 1}}]}}]}}"), "inside parallel"),
        (
            main_with("a: {parallel: {exception_policy: unhandled, branches: [%s]}}" % (BRANCH % 1)),
            "continueAll",
        ),
        (main_with("a: {assign: [{x: 1}]}", "b: {parallel: {branches: [%s]}}" % (BRANCH % 1)), '"x"'),
        (
            main_with(
                "a: {call: sys.now, result: x}",
                "b: {parallel: {shared: [y], for: {value: v, in: [1], steps: [{s: {assign: [{x.k: 1}]}}]}}}",
            ),
            '"x"',
        ),
        (main_with("a: {parallel: {branches: [{b: {steps: [{s: {next: c}}]}}]}}", "c: {return: 1}"), '"c"'),
    ],
)
def test_a_mistake_is_refused(source, message):
    with pytest.raises(SourceError) as refused:
        parse_workflow(source)

    assert message in str(refused.value)
    assert "parse error" in str(refused.value)


def of_length(count, one):
    return ", ".join(one % number for number in range(count))


@pytest.mark.parametrize(
    ("limit", "template", "one"),
    [
        (50, "a: {assign: [%s]}", "{x%d: 1}"),
        (50, "a: {switch: [%s]}", '{condition: "${%d == 1}", next: end}'),
        (10, "a: {parallel: {branches: [%s]}}", BRANCH),
    ],
)
def test_a_limit_is_exact(limit, template, one):
    parse_workflow(main_with(template % of_length(limit, one)))

    with pytest.raises(SourceError, match=str(limit)):
        parse_workflow(main_with(template % of_length(limit + 1, one)))


def test_an_expression_may_have_400_characters_and_a_source_128_kib():
    longest = main_with('a: {return: "${%s}"}' % ("1" + "+10" * 133))
    assert len(longest.partition("${")[2].partition("}")[0]) == 400
    parse_workflow(longest)
    parse_workflow(longest + "#" * (128 * 1024 - len(longest)))

    with pytest.raises(SourceError, match="131072 bytes"):
        parse_workflow(longest + "#" * (128 * 1024 - len(longest) + 1))


def test_aliases_that_expand_without_end_are_refused():
    lines = ["a0: &a0 [x]", *(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9))]

    with pytest.raises(SourceError, match="too large"):
        parse_workflow("\n".join(lines))


def test_a_branch_may_assign_to_its_own_and_shared_variables():
    parse_workflow(
        main_with(
            "a: {assign: [{x: 1}]}",
            "b: {parallel: {shared: [x], branches: [%s]}}" % (BRANCH % 1),
            "c: {parallel: {for: {value: v, in: [1], steps: [{s: {assign: [{v: 2}, {w: 1}, {w: 2}]}}]}}}",
            "d: {try: {raise: x}, except: {as: e, assign: [{e: 1}]}}",
            "f: {assign: [{w: 1}, {e: 1}]}",
        )
    )
