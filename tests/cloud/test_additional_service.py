"""The service of docs/additional-service.md: its page is applied to a copy of the repository, and works."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.experiments import REPOSITORY
from tests.needs import need_program

PAGE = (REPOSITORY / "docs" / "additional-service.md").read_text("utf-8")
MODELS_PAGE = (REPOSITORY / "docs" / "custom-models.md").read_text("utf-8")
COPIED = (
    "docker",
    "docs",
    "jobs",
    "localcloud",
    "modeling",
    "ops",
    "scripts",
    "services",
    "terraform",
    "tests",
)
FILES = ("tasks.py", "pyproject.toml", "README.md", ".env.example", ".gitignore", "cloudbuild.yaml")
LEFT_OUT = shutil.ignore_patterns("*.pyc.*", ".terraform*", "warm-*")

# What runs in the copy, with the copy's own services, names and workflow.
TRIAL = '''
"""The lane of this copy, which has a fourth service."""

import json

import pytest

from ops.gpu.names import SERVICES, Names
from tests.gpu_lanes import SENTENCE, gpu_lane
from tests.web_services import SENTIMENT


@pytest.fixture(scope="module")
def lane(tmp_path_factory):
    models = f"baseline:Baseline,{SENTIMENT}"
    with gpu_lane(tmp_path_factory.mktemp("state"), MODELS=models, PYTHONPATH=FOLDER) as lane:
        yield lane


def test_a_good_result_passes_the_review_and_a_bad_one_ends_failed_with_the_units(lane):
    told = lane.done("good.txt", lane.upload("good.txt", SENTENCE))
    (reviewed,) = lane.log("review", f'jsonPayload.run_key = "{told["key"]}"')
    assert reviewed["jsonPayload"]["event"] == "done"

    # NH has one of the three weeks that the baseline needs: a half of two units
    content = b"location,value\\nVT,10\\nVT,12\\nVT,16\\nNH,5"
    (bad,) = lane.ended("bad.weekly.csv", lane.upload("bad.weekly.csv", content))
    assert bad["state"] == "FAILED"
    assert "review: " in bad["error"]["payload"]
    assert "1 of 2 units failed: NH" in bad["error"]["payload"]

    # the same upload again: its result is there, and is reviewed again
    generation = json.loads(bad["argument"])["data"]["generation"]
    asked = {"bucket": lane.names.bucket("input"), "name": "bad.weekly.csv", "generation": generation}
    by_hand = {"argument": json.dumps(asked)}
    again = lane.api("POST", f"/workflows/{lane.names.workflow}/executions", json=by_hand)["name"]
    found = wait_for(lane, again)
    assert found["state"] == "FAILED"
    assert "1 of 2 units failed: NH" in found["error"]["payload"]


def wait_for(lane, execution):
    from tests.gpu_lanes import until

    for _ in until(60):
        found = lane.api("GET", "/workflows/" + execution.partition("/workflows/")[2])
        if found["state"] not in ("ACTIVE", "QUEUED"):
            return found
    raise AssertionError(found)


def test_its_health_is_asked_with_that_of_the_others(lane):
    assert {name: answer["status"] for name, answer in lane.check().items()} == dict.fromkeys(SERVICES, "ok")
    assert "review" in SERVICES
'''
PLAN = '''
"""The plan of this copy, which has a fourth service."""

from ops.gpu.names import Names
from ops.settings import Settings
from tests.gpu_plans import NEEDED, configured, made, plans


def test_terraform_plans_the_service_its_account_and_its_rights(tmp_path_factory):
    plan, names = plans(configured(tmp_path_factory))(), Names.of(Settings(**NEEDED))

    service = made(plan, "google_cloud_run_v2_service")["review"]
    assert service["name"] == names.service("review")
    assert service["template"][0]["service_account"] == names.account("review")
    assert "review" in made(plan, "google_cloud_run_v2_service_iam_member")
    rights = made(plan, "google_storage_bucket_iam_member")
    assert "review objectViewer output/results/*" in rights
    assert "review objectUser output/results/*" not in rights
'''


@pytest.fixture(scope="module")
def copy(tmp_path_factory) -> Path:
    """A copy of the repository to which the page is applied, with the files that `invoke docs` generates."""
    folder = tmp_path_factory.mktemp("copy") / "repository"
    shared = REPOSITORY.parent / "shared"  # where the stand-in for Terraform's provider is, if it is
    (folder.parent / "shared").symlink_to(shared)
    for name in COPIED:
        shutil.copytree(REPOSITORY / name, folder / name, ignore=LEFT_OUT)
    for name in FILES:
        shutil.copy(REPOSITORY / name, folder / name)
    (folder / "services" / "review.py").write_text(block("python", PAGE))
    (folder / "own").mkdir()
    (folder / "own" / "baseline.py").write_text(block("python", MODELS_PAGE))
    for name, old, new in changes(block("diff", PAGE)):
        text = (folder / name).read_text("utf-8")
        assert text.count(old) == 1, f"{name}: {text.count(old)} times:\n{old}"
        (folder / name).write_text(text.replace(old, new), "utf-8")
    subprocess.run([sys.executable, "-m", "invoke", "docs"], cwd=folder, check=True, timeout=120)
    return folder


def block(kind: str, page: str) -> str:
    """Return the first block of code of a kind."""
    return re.search(rf"^```{kind}\n(.*?)^```", page, re.DOTALL | re.MULTILINE)[1]


def changes(diff: str) -> list[tuple[str, str, str]]:
    """Return file, old text and new text of each part of a diff."""
    found = []
    for each in re.split(r"^--- ", diff, flags=re.MULTILINE)[1:]:
        name, _, rest = each.partition("\n")
        for part in rest.split("@@\n"):
            lines = part.splitlines()
            old = "\n".join(line[1:] for line in lines if line[0] in " -")
            new = "\n".join(line[1:] for line in lines if line[0] in " +")
            found.append((name, old, new))
    return found


def run_in(copy: Path, name: str, text: str) -> None:
    file = copy / "tests" / "cloud" / name
    file.write_text(text, "utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(file)],
        cwd=copy,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]


@pytest.mark.timeout(600)
def test_the_service_of_the_page_reviews_results_of_the_lane(copy):
    need_program("gcloud")
    run_in(copy, "test_review.py", TRIAL.replace("FOLDER", repr(str(copy / "own"))))


@pytest.mark.timeout(600)
def test_terraform_plans_the_service_of_the_page(copy):
    need_program("terraform")
    run_in(copy, "test_review_plan.py", PLAN)
