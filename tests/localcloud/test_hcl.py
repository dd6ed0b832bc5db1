"""Terraform's language is read as Terraform reads it: comments, strings, templates, heredocs."""

import random
import subprocess

import pytest

from localcloud.infra.hcl import UNKNOWN, read_hcl
from localcloud.infra.tokens import NotReadable
from tests.experiments import REPOSITORY
from tests.needs import need_program

VALID = {
    "comments": '# backend "gcs" {}\n// terraform {\n/* a = 1\n b */ a = 2 # three\n',
    "a block on one line": 'variable "a" { default = "x" }\n',
    "labels without quotes": "resource google_storage_bucket input {\n}\n",
    "a string with braces and escapes": 'a = "} \\"{ \\\\ \\n \\u00e9 $${b} %%{c}"\n',
    "templates within templates": 'a = "${upper("x${b["}"]}")} $ % %{if c}y%{endif}"\n',
    "a template over lines": 'a = "${f(\n  1,\n  2\n)}"\n',
    "templates that strip spaces": 'a = "%{ for x in y ~} ${~ x ~} %{~ endfor }"\n',
    "a heredoc": 'a = <<EOT\n}\n"\nterraform { backend "x" {} }\n${b}\nEOT\nb = 1\n',
    "an indented heredoc": "a {\n  b = <<-EOT\n    x\n    EOT\n}\n",
    "two heredocs in a list": "a = [<<X\n1\nX\n, <<Y\n2\nY\n]\n",
    "brackets over lines": "a = [\n  1,\n  { b = 2 },\n]\nc = f(\n  1)\n",
    "operators": "a = !b && c >= 1.5e3 || d != null ? -1 : {for k, v in e : k => v...}\n",
    "splats and indices": 'a = b[*].c["d"].e[0].*.f\n',
    "no line end at the end": "a = 1",
    "lines as Windows ends them": 'a = 1\r\nb {\r\n  c = "x"\r\n}\r\n',
    "a byte order mark": "\ufeffa = 1\n",
    "names in other alphabets": 'größe = "ü"\n',
    "nothing": "",
}
INVALID = {
    "a string without an end": 'a = "x\n',
    "a block without an end": "a {\n",
    "a bracket without an end": "a = [1\n",
    "the wrong bracket": "a = [1)\n",
    "a heredoc without an end": "a = <<EOT\nx\n",
    "a template without an end": 'a = "${b"\n',
    "a comment without an end": "a = 1 /* b\n",
    "an unknown escape": 'a = "\\d"\n',
    "no value": "a =\n",
    "a value alone": '"a"\n',
    "a brace too many": "}\n",
    "an unknown character": "a = 1 ; b = 2\n",
    "an argument twice": "a = 1\na = 2\n",
}


@pytest.mark.parametrize("text", VALID.values(), ids=VALID)
def test_what_terraform_reads_is_read(text):
    read_hcl(text)

    assert _terraform_reads(text)


@pytest.mark.parametrize("text", INVALID.values(), ids=INVALID)
def test_what_terraform_cannot_read_is_refused_with_its_line(text):
    with pytest.raises(NotReadable) as refused:
        read_hcl(text)

    assert 1 <= refused.value.line <= 3
    if text != INVALID["an argument twice"]:  # which is not a mistake of the syntax
        assert not _terraform_reads(text)


def test_blocks_within_comments_and_strings_are_no_blocks():
    body = read_hcl(VALID["comments"] + VALID["a heredoc"].replace("a =", "c =") + "terraform {\n}\n")

    assert [(block.kind, block.line) for block in body.blocks] == [("terraform", 12)]
    assert list(body.arguments) == ["a", "c", "b"]


def test_blocks_have_labels_lines_and_blocks_within():
    body = read_hcl('# one\nterraform {\n  backend "gcs" {\n    bucket = "b"\n  }\n}\n')

    [terraform] = body.blocks
    [backend] = terraform.body.named("backend")
    assert (backend.labels, backend.line) == (("gcs",), 3)
    assert backend.body.arguments["bucket"].value == "b"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('"x"', "x"),
        ('"a\\n$${b}"', "a\n${b}"),
        ("12", 12),
        ("-1.5", -1.5),
        ("1" * 5000, float("inf")),
        ("true", True),
        ("null", None),
        ('"${b}"', UNKNOWN),
        ("b.c", UNKNOWN),
        ("[1]", UNKNOWN),
        ("1 + 1", UNKNOWN),
    ],
)
def test_only_plain_values_are_known(text, value):
    found = read_hcl(f"a = {text}\n").arguments["a"].value

    assert (type(found), found) == (type(value), value)


def test_calls_are_found_in_templates_and_blocks_with_their_first_argument():
    text = 'a = "${file("${path.module}/x.json")}"\nb {\n  c = jsondecode(file(\n    "y", 1))\n}\n'
    text += "d = file(var.z)\n"
    body = read_hcl(text)

    calls = [call for each in body.expressions() for call in each.calls({"path.module": "here"})]

    assert [(call.function, call.argument, call.line) for call in calls] == [
        ("file", "here/x.json", 1),
        ("file", None, 6),
        ("jsondecode", None, 3),
        ("file", "y", 3),
    ]


def test_all_of_our_own_configuration_is_read():
    files = sorted((REPOSITORY / "terraform").rglob("*.tf"))

    variables = [block.name for path in files for block in read_hcl(path.read_text()).named("variable")]

    assert len(files) >= 10
    assert {"project_id", "gpu_type"} <= set(variables)


def test_text_that_is_nested_beyond_measure_is_refused():
    for text in ("a {\n" * 2000, 'a = "' + '${"' * 2000):
        with pytest.raises(NotReadable, match="within each other"):
            read_hcl(text)


@pytest.mark.timeout(20)
def test_calls_without_end_are_read_in_a_moment():
    within, beside = "f(" * 30_000 + ")" * 30_000, "[" + "f()," * 30_000 + "]"

    for text in (within, beside):
        [expression] = read_hcl(f"a = {text}").expressions()
        assert len(list(expression.calls({}))) == 30_000


def test_damaged_text_is_read_or_refused_and_breaks_nothing():
    text = (REPOSITORY / "terraform" / "gpu" / "settings.tf").read_text()[:4000]
    rng = random.Random(7)
    refused = 0

    for _ in range(500):
        place = rng.randrange(len(text))
        damaged = (
            text[:place]
            + rng.choice('"{}[]()\\$%~=#\n\0<') * rng.randint(0, 3)
            + text[place + rng.randint(0, 4) :]
        )
        try:
            read_hcl(damaged[: rng.randrange(len(damaged))])
        except NotReadable as mistake:
            refused += bool(mistake.line and mistake.reason)

    assert 100 < refused < 500


def _terraform_reads(text: str) -> bool:
    done = subprocess.run(
        [need_program("terraform"), "fmt", "-no-color", "-"], input=text.encode(), capture_output=True
    )
    return done.returncode == 0
