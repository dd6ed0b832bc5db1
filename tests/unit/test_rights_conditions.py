"""Conditions of grants: what they mean, which ones cannot be read, and those that the product grants with."""

from datetime import UTC, datetime

import pytest

from localcloud.rights.attributes import Attributes, attributes_of
from localcloud.rights.conditions import MOST_DEPTH, UnreadableCondition, holds, parsed
from localcloud.rights.resources import PROJECT_NUMBER
from ops.environment import read_settings
from ops.gpu.names import Names
from ops.gpu.rights import ALWAYS, bucket_bindings
from tests.experiments import REPOSITORY

NOW = datetime(2026, 8, 1, 12, 0, tzinfo=UTC)
BUCKET = "projects/_/buckets/lab"
OBJECT = f"{BUCKET}/objects/flu/a.json"
PROJECT = "projects/my-lab"
SECRET = f"{PROJECT}/secrets/pat"
JOB = f"{PROJECT}/locations/us-central1/jobs/j"  # of Batch, which provides no attributes


def is_true(expression: str, resource: str = OBJECT) -> bool:
    return holds(expression, resource, NOW)


@pytest.mark.parametrize(
    ("expression", "is_so"),
    [
        (f'resource.name == "{OBJECT}"', True),
        (f"resource.name == '{OBJECT}'", True),
        (f'"{OBJECT}" == resource.name', True),
        ('resource.name == "a.json"', False),
        (f'resource.name != "{OBJECT}"', False),
        ('resource.name != "a.json"', True),
        (f'resource.name.startsWith("{BUCKET}/objects/flu/")', True),
        (f'resource.name.startsWith("{BUCKET}/objects/rsv/")', False),
        ('resource.name.startsWith("")', True),
        ('resource.name.endsWith("/a.json")', True),
        ('resource.name.endsWith("/b.json")', False),
        (" resource . name\n.endsWith ( 'a.json' ) ", True),
        ('resource.type == "storage.googleapis.com/Object"', True),
        ('resource.type != "storage.googleapis.com/Object"', False),
        ('resource.type == "storage.googleapis.com/Bucket"', False),
        ('resource.service == "storage.googleapis.com"', True),
        ('resource.service != "storage.googleapis.com"', False),
        ('request.time < timestamp("2026-08-01T12:00:00Z")', False),
        ('request.time <= timestamp("2026-08-01T12:00:00Z")', True),
        ('request.time > timestamp("2026-08-01T12:00:00Z")', False),
        ('request.time >= timestamp("2026-08-01T12:00:00Z")', True),
        ('request.time < timestamp("2026-08-01T12:00:00.123456789Z")', True),
        ('request.time < timestamp("2026-08-01T13:30:00+02:00")', False),  # which is 11:30
        ("timestamp('2020-01-01T00:00:00Z') < request.time", True),
        ("true", True),
        ("false", False),
        ("!false", True),
        ("!!true", True),
        ("true && false", False),
        ("true && true && true", True),
        ("false || true", True),
        ("false || false", False),
        ("(true)", True),
    ],
)
def test_each_operator_means_what_iam_documents(expression, is_so):
    assert is_true(expression) is is_so


@pytest.mark.parametrize(
    ("expression", "is_so"),
    [
        ("true || false && false", True),  # not (true || false) && false
        ("(true || false) && false", False),
        ("false && false || true", True),
        ("false && (false || true)", False),
        ("!true || true", True),  # not !(true || true)
        ("!(true || true)", False),
        ("!false && false", False),
        ('!resource.name.startsWith("x") && resource.name != "x"', True),
    ],
)
def test_not_comes_before_and_and_and_before_or(expression, is_so):
    assert is_true(expression) is is_so


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        (r'"\u003cb\u003e \u0026 \u2028"', "<b> & \u2028"),  # as jsonencode of Terraform writes them
        (r'"a\"b"', 'a"b'),
        (r"'a\'b'", "a'b"),
        (r"""'"'""", '"'),
        (r'''"it's"''', "it's"),
        (r'"a\\b"', "a\\b"),
        (r'"\\u003c"', r"\u003c"),
        (r'"\n\t\r\a\b\f\v\?\`"', "\n\t\r\a\b\f\v?`"),
        (r'"\x41\101\U0001F600"', "AA\U0001f600"),
        ('"é 😀"', "é 😀"),
        ('""', ""),
    ],
)
def test_a_string_is_read_with_its_escapes(written, meant):
    assert is_true(f"resource.name.endsWith({written})", f"{BUCKET}/objects/x{meant}")
    assert is_true(f"resource.name == {written}", OBJECT) is False
    assert not meant or not is_true(f"resource.name.endsWith({written})")


@pytest.mark.parametrize(
    ("expression", "why"),
    [
        ("", "it ends too early"),
        ("true &&", "it ends too early"),
        ("(true", r"a \) is missing"),
        ("true)", r"\) is not expected"),
        ("true true", "true is not expected"),
        ('"a" "b"', '"b" is not expected'),
        ('resource.name == "a', '" is not expected'),
        ("true & true", "& is not expected"),
        ("resource.name", "the whole must be a boolean, not a string"),
        ('true && "x"', "each side of && must be a boolean"),
        ('"x" || true', r"each side of \|\| must be a boolean"),
        ("!resource.name", "what ! negates must be a boolean"),
        ('!resource.name == "x"', "what ! negates must be a boolean"),
        ("true == true", "each side of == must be a string, not a boolean"),
        ('resource.name < "x"', "each side of < must be a timestamp, not a string"),
        ('request.time < "2026-01-01T00:00:00Z"', "each side of < must be a timestamp"),
        ('request.time == timestamp("2026-01-01T00:00:00Z")', "each side of == must be a string"),
        ('resource.name.extract("objects/{a}") == "x"', r"does not emulate resource\.name\.extract"),
        ('resource.name.matches("x")', r"does not emulate resource\.name\.matches"),
        ('resource.type.startsWith("x")', r"does not emulate resource\.type\.startsWith"),
        ("request.time.getHours() < 8", r"does not emulate request\.time\.getHours"),
        ('resource.matchTag("a", "b")', r"does not emulate resource\.matchTag"),
        ('resource.name in ["x"]', "in is not expected|\\[ is not expected"),
        ('r"x" == resource.name', "does not emulate r"),
        ("resource.name.startsWith", "needs an argument"),
        ("resource.name.startsWith(resource.type)", "needs a text in quotes"),
        ('resource.name.startsWith("a", "b")', "is not expected|is missing"),
        ('timestamp("2026-01-01") < request.time', "'2026-01-01' is no time"),
        ('timestamp("2026-13-01T00:00:00Z") < request.time', "is no time"),
        ('timestamp("2026-01-01T00:00:00") < request.time', "is no time"),
        (r'resource.name == "\q"', r"\\q is no escape"),
        (r'resource.name == "\ud800"', r"\\ud800 is no escape"),
        ("!" * MOST_DEPTH + "true", "nested more than"),
        (" && ".join(["true"] * 14), "13 logical operators, and may have 12"),
        ("(" * 5000 + "true" + ")" * 5000, "nested more than"),
    ],
)
def test_what_cannot_be_read_is_refused_with_the_expression_and_the_reason(expression, why):
    with pytest.raises(UnreadableCondition, match=why) as refused:
        parsed(expression)

    assert repr(expression) in str(refused.value)


@pytest.mark.parametrize("mark", [" && ", " || "])
def test_twelve_logical_operators_are_not_too_many(mark):
    assert holds(mark.join(["true"] * 13), OBJECT, NOW)


@pytest.mark.parametrize(
    ("resource", "seen"),
    [
        (OBJECT, Attributes(OBJECT, "storage.googleapis.com/Object", "storage.googleapis.com")),
        (BUCKET, Attributes(BUCKET, "storage.googleapis.com/Bucket", "storage.googleapis.com")),
        (
            f"{SECRET}/versions/1",
            Attributes(
                f"projects/{PROJECT_NUMBER}/secrets/pat/versions/1",
                "secretmanager.googleapis.com/SecretVersion",
                "secretmanager.googleapis.com",
            ),
        ),
        (
            SECRET,
            Attributes(
                f"projects/{PROJECT_NUMBER}/secrets/pat",
                "secretmanager.googleapis.com/Secret",
                "secretmanager.googleapis.com",
            ),
        ),
        (
            PROJECT,
            Attributes(
                None, "cloudresourcemanager.googleapis.com/Project", "cloudresourcemanager.googleapis.com"
            ),
        ),
        (JOB, Attributes()),
        (f"{PROJECT}/locations/us-central1/services/s", Attributes()),
    ],
)
def test_type_and_service_follow_from_the_name_of_a_resource(resource, seen):
    assert attributes_of(resource) == seen


@pytest.mark.parametrize(
    ("expression", "is_so"),
    [
        ('resource.name.startsWith("")', False),
        ('!resource.name.startsWith("x")', False),
        ('resource.name != "x"', False),
        ('true && !resource.name.startsWith("x")', False),
        ('false || !resource.name.startsWith("x")', False),
        ('true || resource.name.startsWith("x")', True),
        ('!(false && resource.name.startsWith("x"))', True),
        ('resource.type != "storage.googleapis.com/Object" || resource.name.startsWith("x")', True),
        ('resource.service == "batch.googleapis.com"', False),
        ('request.time > timestamp("2020-01-01T00:00:00Z")', True),
    ],
)
def test_an_attribute_that_a_resource_does_not_have_never_grants_access(expression, is_so):
    assert is_true(expression, JOB) is is_so


@pytest.mark.parametrize(
    "name", ["projects/x", "a/projects/x/y", "a//b", "a%2Fb", "../a", "\n", "é'\"\\", " "]
)
def test_the_name_of_an_object_is_seen_as_it_is(name):
    assert attributes_of(f"{BUCKET}/objects/{name}").name == f"{BUCKET}/objects/{name}"


def test_an_error_shows_no_more_of_an_expression_than_can_be_read():
    with pytest.raises(UnreadableCondition) as refused:
        parsed("(" * 10**6)

    assert len(str(refused.value)) < 50_000


def test_a_condition_on_names_of_objects_allows_nothing_on_the_bucket():
    expression = f'resource.name.startsWith("{BUCKET}/objects/")'

    assert is_true(expression, OBJECT)
    assert not is_true(expression, BUCKET)
    assert not is_true(expression, f"{BUCKET}-2/objects/flu/a.json")


# The expressions of terraform/accounts.tf as in a plan with DIR_PREFIX="flu/a&b/", and their templates.
RUNS, STATE = (f'"{BUCKET}/objects/{folder}"' for folder in (r"flu/a\u0026b/", "terraform"))
SOURCES = rf'"{BUCKET}/objects/flu/a\u0026b/cloudbuild/"'
MANIFESTS = f'resource.name.startsWith({RUNS}) && resource.name.endsWith("/builder-artifacts/manifest.json")'
CLAIMS = f'resource.name.startsWith({RUNS}) && resource.name.endsWith("/execution.json")'
RUN_OBJECTS = (
    f"resource.name.startsWith({RUNS}) && !resource.name.startsWith({SOURCES}) "
    f"&& !resource.name.startsWith({STATE})"
)
OF_BUILDS = f"resource.name.startsWith({SOURCES})"
TEMPLATES = [
    r'${local.runs}) && resource.name.endsWith(\"/builder-artifacts/manifest.json\")"',
    r'"resource.name.startsWith(${local.runs}) && resource.name.endsWith(\"/execution.json\")"',
    '["resource.name.startsWith(${local.runs})", "!resource.name.startsWith(${local.sources})"]',
    '["!resource.name.startsWith(${local.state})"]',
    '"resource.name.startsWith(${local.sources})"',
]


@pytest.mark.parametrize(
    ("expression", "inside", "outside"),
    [
        (MANIFESTS, "flu/a&b/x/builder-artifacts/manifest.json", "flu/a&b/x/builder-artifacts/input.json"),
        (CLAIMS, "flu/a&b/x/execution.json", "flu/x/execution.json"),
        (RUN_OBJECTS, "flu/a&b/x/result.bin", "flu/a&b/cloudbuild/source.tgz"),
        (RUN_OBJECTS, "flu/a&b/x", "terraform/default.tfstate"),
        (OF_BUILDS, "flu/a&b/cloudbuild/source.tgz", "flu/a&b/x/result.bin"),
    ],
)
def test_the_conditions_of_the_pipeline_hold_inside_and_not_outside(expression, inside, outside):
    assert is_true(expression, f"{BUCKET}/objects/{inside}")
    assert not is_true(expression, f"{BUCKET}/objects/{outside}")


def test_these_are_the_conditions_of_terraform():
    text = (REPOSITORY / "terraform" / "accounts.tf").read_text(encoding="utf-8")

    assert all(each in text for each in TEMPLATES)
    assert text.count("expression = ") == 4  # with that of local.run_objects


def test_the_conditions_of_the_gpu_lane_hold_inside_and_not_outside():
    names = Names.of(read_settings({"PROJECT_ID": "my-lab"}, None))
    objects = f"projects/_/buckets/{names.bucket('output')}/objects/"
    bindings = [each["condition"] for each in bucket_bindings(names, "output") if "condition" in each]
    by_title = {each["title"]: each["expression"] for each in bindings}

    assert set(by_title) == {"work/*", "results/*", "work/*/claim.json"}
    assert is_true(by_title["work/*"], f"{objects}work/k/input.json")
    assert not is_true(by_title["work/*"], f"{objects}results/k/output.json")
    assert is_true(by_title["results/*"], f"{objects}results/k/output.json")
    assert is_true(by_title["work/*/claim.json"], f"{objects}work/k/claim.json")
    assert not is_true(by_title["work/*/claim.json"], f"{objects}work/k/input.json")


def test_the_condition_that_makes_a_grant_the_lanes_own_always_holds():
    template = (REPOSITORY / "terraform" / "gpu" / "accounts.tf").read_text(encoding="utf-8")

    assert f'expression = "{ALWAYS.replace(chr(34), chr(92) + chr(34))}"' in template
    assert all(is_true(ALWAYS, resource) for resource in (PROJECT, OBJECT, JOB))
