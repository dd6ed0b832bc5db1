"""`invoke doctor --report`, with the real gcloud against an emulated cloud: what it found, and no names."""

import html
import json
import re
import signal
from urllib.parse import quote, unquote

import pytest

from ops.project.anonymise import Anonymiser
from tests.cloud_operators import BUCKET, WORKFLOW, CloudOperator, ready_cloud
from tests.cloud_runs import PROJECT, RUN_ID
from tests.emulated import order_faults, request
from tests.experiments import sampled
from tests.operators import Operator

EXPERIMENT = "hidden/wave-2026"
TOKEN = "ghp_0123456789abcdefghijABCDEFGHIJ456789"
KEY = "correct horse battery staple"
# Names of each kind, as they are planted; those of other projects and people are known by their forms alone.
PLANTED = {
    "project": PROJECT,
    "number": "735280914462",
    "bucket": BUCKET,
    "other bucket": "gs://strangers-archive-77",
    "account": "ada.lovelace@mobs-lab.org",
    "service account": f"epymodelingsuite-batch@{PROJECT}.iam.gserviceaccount.com",
    "other account": "grace+cloud@strangers.example.edu",
    "host": "adas-thinkpad",
    "other host": "node7.cluster.strangers.edu",
    "user": "adalovelace",
    "path": "/home/adalovelace/secret-plans/flu.yaml",
    "other path": "/srv/strangers/vault/key.json",
    "address": "10.21.32.43",
    "IPv6 address": "2001:db8:85a3::8a2e:370:7334",
    "repository": "mobs-lab/hidden-forecasts",
    "other repository": "https://github.com/strangers/vault-of-models",
    "experiment": EXPERIMENT,
    "token": TOKEN,
    "secret": KEY,
    "other project": "projects/strangers-project-9",
}
# As planted, what must not be left: the name, without the words around it by which it is known.
NAMES = {kind: re.sub(r"^(gs://|projects/|https://github\.com/)", "", text) for kind, text in PLANTED.items()}
STYLES = {
    "as it is": lambda text: text,
    "in upper case": str.upper,
    "url-encoded": lambda text: quote(text, safe=""),
    "url-encoded twice": lambda text: quote(quote(text, safe=""), safe=""),
    "every character encoded": lambda text: "".join(f"%{byte:02x}" for byte in text.encode()),
    "escaped in JSON": lambda text: "".join(f"\\u{ord(each):04x}" for each in text),
    "as an entity": html.escape,
}
# Only what is known is found inside of longer names: a form ends where the name does.
KNOWN = ("project", "bucket", "host", "user", "repository", "experiment", "secret")
INSIDE = {
    "with a prefix and a suffix": "x{}y",
    "as a part of a name": "backup-of-{}-2026",
    "as a label": "{}_old",
}


def planted_text(style: str) -> str:
    return " ; ".join(STYLES[style](text) for text in PLANTED.values())


def inside_text() -> str:
    return " ; ".join(form.format(NAMES[kind]) for kind in KNOWN for form in INSIDE.values())


def letters(text: str) -> str:
    """Return the letters and digits of a text alone, so that no punctuation hides a name."""
    return re.sub(r"[\W_]+", "", unquote(text)).lower()


def assert_no_names(text: str) -> None:
    left = {kind: name for kind, name in NAMES.items() if letters(name) in letters(text)}
    assert not left, f"{left} in {text}"


@pytest.fixture(scope="module")
def operator(null_cloud, tmp_path_factory):
    """An operator with names of every kind, on a cloud with a failed run of each of two experiments."""
    operator = CloudOperator(null_cloud, tmp_path_factory.mktemp("adalovelace"), sampled())
    pipeline = ready_cloud(null_cloud)
    hidden = operator.folder / "local" / "forecast" / "experiments" / EXPERIMENT / "config"
    hidden.mkdir(parents=True)
    operator.environ |= {
        "USER": "adalovelace",
        "LOGNAME": "adalovelace",
        "HOSTNAME": "adas-thinkpad",
        "GITHUB_FORECAST_REPO": "mobs-lab/hidden-forecasts",
        "CLOUDSDK_CORE_ACCOUNT": "ada.lovelace@mobs-lab.org",
        "MY_API_TOKEN": KEY,
    }
    pipeline.put_manifest(2)
    pipeline.order({"job": "runner", "tasks": [1], "exit_code": 137})
    pipeline.error(pipeline.start(runId=RUN_ID))
    pipeline.error(pipeline.start(EXPERIMENT))
    pipeline.clear_faults()
    for style in STYLES:
        pipeline.error(pipeline.start(**{planted_text(style): 1}))
    pipeline.error(pipeline.start(**{inside_text(): 1}))
    return operator


@pytest.fixture
def cloud(null_cloud):
    yield null_cloud
    request("DELETE", f"{null_cloud.apis}/_emulator/faults")


def report_of(operator, ended, name="report.json"):
    path = operator.folder / name
    assert path.is_file(), ended.output
    text = path.read_text(encoding="utf-8")
    path.unlink()
    return text


def answers(text: str) -> dict:
    return {each["name"]: each for each in json.loads(text)["doubts"]}


def test_a_report_has_versions_settings_checks_and_the_answers_of_the_project(cloud, operator):
    ended = operator.invoke("doctor", "--report", "report.json")

    text = report_of(operator, ended)
    report, found = json.loads(text), answers(text)
    assert "wrote report.json: " in ended.output
    assert report["cloud"] == "emulated"
    assert re.fullmatch(r"\d+\.\d+\.\d+", report["versions"]["gcloud"])
    assert report["settings"]["REGION"] == "us-central1"
    assert report["settings"]["STAGE_A_MEMORY_MIB"] == 7168
    assert report["settings"]["PROJECT_ID"] == report["settings"]["GITHUB_FORECAST_REPO"] == "set"
    levels = {each["what"]: each["level"] for each in report["checks"]}
    assert levels["project"] == "ok"
    assert levels["subnet"] == "missing"
    not_answered = {name: each for name, each in found.items() if "answer" not in each}
    assert not not_answered
    assert "unknown argument" in str(found["connector errors"]["answer"][0]["error"])
    states = {(each["stage"], each["state"]) for each in found["jobs"]["answer"]}
    assert ("runner", "FAILED") in states
    assert all(re.fullmatch(r"[0-9.]+s", each["run_duration"]) for each in found["jobs"]["answer"])
    (failed,) = [each for each in found["tasks"]["answer"] if each["state"] == "FAILED"]
    assert 137 in [each.get("task_execution", {}).get("exitCode") for each in failed["events"]]
    assert {"family": "c4d", "cpus": 2400.0} in found["quotas of families"]["answer"]
    sizes = {each["type"]: each for each in found["machine types"]["answer"]}
    assert sizes["c4d-standard-2"]["memory_mib"] == 7168
    assert found["GPU lane"]["answer"] == "the GPU lane is not deployed"
    assert_no_names(text)
    assert ended.exit_code == 2  # as the doctor without a report: the subnet is missing


def test_no_name_is_left_in_a_report_wherever_it_was_planted(cloud, operator):
    paths = (
        "serviceAccounts",
        "services",
        "/compute/v1/.*/regions",
        "getIamPolicy",
        "entries:list",
        "/builds",
    )
    styles = [*STYLES]
    for number, path in enumerate((*paths, "dockerImages|/tags", "quotaInfos", "subnetworks")):
        text = " ; ".join((planted_text(styles[number % len(styles)]), inside_text()))
        order_faults(cloud, {"path": path, "status": 403, "message": text})

    ended = operator.invoke("doctor", "--report", "report.json", "--cloud")

    text = report_of(operator, ended)
    assert_no_names(text)
    refused = [each for each in answers(text).values() if "not_answered" in each]
    assert len(refused) >= 4
    assert "project-1" in text
    for kind, name in NAMES.items():  # the emulator's answers had them
        assert letters(name) in letters(planted_text("as it is")), kind


@pytest.mark.parametrize("style", STYLES)
def test_a_name_is_found_in_every_spelling(style):
    names = Anonymiser()
    for kind in KNOWN:
        names.learn(kind, NAMES[kind])

    found = names.anonymous({"said": [planted_text(style), {inside_text(): planted_text(style)}]})

    assert_no_names(json.dumps(found))


def test_a_name_has_the_same_placeholder_everywhere_and_what_is_no_name_stays():
    names = Anonymiser()
    names.learn("project", PROJECT)
    said = (
        "Permission 'batch.jobs.create' denied on resource '//batch.googleapis.com/projects/my-lab-forecasts"
        "/locations/us-central1' (or it may not exist). c4d-standard-2 in us-central1-a has 7168 MiB; "
        "roles/batch.agentReporter; exit code 50001; sha256:aaaaaaaaaaaa"
    )

    found = names.anonymous([said, f"{PROJECT} {PROJECT.upper()}", 12.5, True, None])

    assert found == [said.replace(PROJECT, "project-1"), "project-1 project-1", 12.5, True, None]


@pytest.mark.parametrize(
    ("name", "said", "shown"),
    [
        (
            "flow",
            "my-workflow, Workflows of flow, flow2, myflows",
            "my-workflow, Workflows of {0}, {0}2, my{0}s",
        ),
        ("count", "serviceAccounts of count, counting", "serviceAccounts of {0}, {0}ing"),
        ("net", "networks, subnets, net", "networks, subnets, {0}"),
        ("n", "n2-standard-4, n", "n2-standard-4, {0}"),
        ("ada1", "xada1y", "x{0}y"),
        ("alice", r"denied\nalice\\talice AliceForecasts", "denied {0} {0} {0}Forecasts"),
        ("workflow", "the workflow, workflows", "the {0}, workflows"),
    ],
)
def test_a_name_is_replaced_inside_of_words_but_not_of_known_ones(name, said, shown):
    names = Anonymiser()
    names.learn("owner", name)

    assert names.anonymous(said) == shown.format("owner-1")


def test_words_of_the_report_stay_even_if_a_machine_and_its_user_have_the_same_names(tmp_path):
    operator = Operator(tmp_path, sampled())
    named = {"HOSTNAME": "check", "USER": "level", "LOGNAME": "settings", "MY_PASSWORD": "report said"}

    ended = operator.invoke("doctor", "--report", "usual.json")
    named_so = operator.invoke("doctor", "--report", "named.json", **named)

    usual = json.loads(report_of(operator, ended, "usual.json"))
    found = json.loads(report_of(operator, named_so, "named.json"))
    assert found.keys() == usual.keys()
    assert found["settings"] == usual["settings"]
    assert [each["what"] for each in found["checks"]] == [each["what"] for each in usual["checks"]]
    assert [each["question"] for each in found["doubts"]] == [each["question"] for each in usual["doubts"]]
    assert found["versions"].keys() == usual["versions"].keys()


def test_permissions_that_were_denied_are_listed(cloud, operator):
    message = "Permission 'compute.regions.get' denied on resource (or it may not exist)."
    order_faults(cloud, {"path": "/compute/v1/.*/regions", "status": 403, "message": message})

    ended = operator.invoke("doctor", "--report", "report.json")

    report = json.loads(report_of(operator, ended))
    assert report["denied_permissions"] == ["compute.regions.get"]


def test_an_answer_of_an_unexpected_shape_costs_no_other_answer(cloud, operator):
    odd = {"logName": f"projects/{PROJECT}/logs/odd", "protoPayload": {"authorizationInfo": PROJECT}}
    order_faults(cloud, {"path": "entries:list", "body": {"entries": [odd]}})

    ended = operator.invoke("doctor", "--report", "report.json")

    text = report_of(operator, ended)
    not_answered = {
        name: each["not_answered"] for name, each in answers(text).items() if "answer" not in each
    }
    assert not_answered == {
        "denials": "fault of the report: AttributeError 'str' object has no attribute 'get'",
        "idle times": "fault of the report: KeyError 'timestamp'",
    }
    assert_no_names(text)


def test_without_a_cloud_the_report_says_why_nothing_was_asked(tmp_path):
    operator = Operator(tmp_path, sampled())

    ended = operator.invoke("doctor", "--report", "report.json")

    text = report_of(operator, ended)
    assert ended.exit_code == 0, ended.output
    assert json.loads(text)["cloud"] == "not asked"
    assert {each["not_asked"] for each in answers(text).values()} == {
        "runs are started on this machine: add --cloud, or set EXECUTION_MODE=cloud"
    }
    assert str(tmp_path) not in text


def test_without_a_login_the_machine_is_reported_and_the_project_is_not_asked(cloud, operator):
    ended = operator.invoke(
        "doctor", "--report", "report.json", CLOUDSDK_AUTH_ACCESS_TOKEN_FILE="", CLOUDSDK_CORE_ACCOUNT=""
    )

    text = report_of(operator, ended)
    assert ended.exit_code == 2
    assert {each["not_asked"] for each in answers(text).values()} == {"needs account, project"}
    assert_no_names(text)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("there.json", "it is there already; name another file"),
        ("no-folder/report.json", "no such folder no-folder; create it"),
        ("there.json/report.json", "no such folder there.json; create it"),
        ("local", "it is there already; name another file"),
        ("", "--report needs the name of a file"),
        ("/proc/report.json", "nothing can be written in /proc"),
        ("x" * 300, "the name is too long; name another file"),
    ],
)
def test_a_file_that_cannot_be_written_is_refused_before_anything_is_asked(cloud, operator, name, reason):
    there = operator.folder / "there.json"
    there.write_text("mine")
    before = request("GET", f"{cloud.apis}/_emulator/requests").json()["total"]

    ended = operator.invoke("doctor", "--report", name)

    assert ended.exit_code == 2
    assert reason in ended.last_line
    assert len(ended.lines) == 1
    assert request("GET", f"{cloud.apis}/_emulator/requests").json()["total"] == before
    assert there.read_text() == "mine"


def test_a_dry_run_prints_the_commands_of_the_report_and_writes_nothing(cloud, operator):
    before = request("GET", f"{cloud.apis}/_emulator/requests").json()["total"]

    ended = operator.invoke("doctor", "--report", "report.json", "--dry-run")

    assert ended.exit_code == 0, ended.output
    assert all(each.startswith("+ ") for each in ended.lines)
    assert any(f"gcloud workflows executions list {WORKFLOW}" in each for each in ended.lines)
    assert any("gcloud artifacts repositories get-iam-policy" in each for each in ended.lines)
    assert not list(operator.folder.glob("*report*"))
    assert request("GET", f"{cloud.apis}/_emulator/requests").json()["total"] == before


def test_ctrl_c_leaves_no_part_of_a_report(cloud, operator):
    order_faults(cloud, {"path": "entries:list", "latency_seconds": 30})
    process = operator.start("doctor", "--report", "report.json")
    next(said for said in process.stdout if "asking for the report" in said)

    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=120)

    assert process.returncode == 130, output
    assert not list(operator.folder.glob("*report*")) + list(operator.folder.glob(".report*"))
