"""What `--rights` of `invoke rehearse` and of `invoke localcloud` refuses, before anything is started.

Rehearsals with rights are in tests/cloud/test_rehearsed_rights.py.
"""

import json

import pytest

from tests.experiments import sampled
from tests.needs import need_program
from tests.operators import Operator

MEMBER = "user:a@example.com"


@pytest.fixture
def operator(tmp_path):
    return Operator(tmp_path, sampled())


def plan_with(**more) -> str:
    """Return a plan that has more fields, or others."""
    return json.dumps(json.loads(plan_of()) | more)


def record_of(*holders: str, member: str = MEMBER) -> str:
    rows = [{"holder": each, "role": "roles/viewer", "member": member, "condition": ""} for each in holders]
    return json.dumps({"asked": [{"by": rows}]})


def plan_of(
    role: str = "roles/viewer", condition: str = "", project: str = "my-lab-forecasts", of: str = ""
) -> str:
    """Return a plan as `terraform show -json` prints it, with one binding; `of` is another project's."""
    conditions = [{"title": "t", "expression": condition}] if condition else []
    after = {"project": of or project, "role": role, "member": MEMBER, "condition": conditions}
    change = {"actions": ["create"], "after": after, "after_unknown": {}}
    binding = {
        "address": "google_project_iam_member.a",
        "mode": "managed",
        "type": "google_project_iam_member",
        "change": change,
    }
    return json.dumps({"resource_changes": [binding], "variables": {"project_id": {"value": project}}})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "--rights rights.json: cannot be read (No such file or directory)"),
        (
            "Plan: 3 to add",
            "--rights rights.json: no JSON; write it with `terraform show -json PLAN`, not with",
        ),
        (
            "{}",
            "--rights rights.json: neither a plan (`terraform show -json PLAN`) nor a record (GET /_emulator",
        ),
        ('{"asked": [{"by": [{"role": 1}]}]}', "--rights rights.json: neither a plan"),
        ('{"resource_changes": [3]}', "rights.json: no plan as `terraform show -json` prints it"),
        (
            plan_of("roles/pubsub.viewer"),
            "rights.json: roles/pubsub.viewer of user:a@example.com: localcloud",
        ),
        (plan_of(condition="resource.name.size() > 3"), "rights.json: roles/viewer of user:a@example.com: "),
        (plan_with(errored=True), "rights.json: the plan is not complete"),
        (plan_of().replace(MEMBER, "anybody"), "rights.json: the member 'anybody' is of an unknown type"),
        (
            plan_of().replace("google_project_iam_member", "google_iam_deny_policy"),
            "rights.json: google_iam_deny_policy.a: nobody knows here what google_iam_deny_policy gives",
        ),
        (plan_with(resource_changes=[]), "--rights rights.json: gives nobody a role; name a plan"),
        ('{"asked": []}', "--rights rights.json: gives nobody a role; name a plan"),
        (
            plan_of(of="their-lab"),
            "rights.json: roles/viewer of user:a@example.com is on projects/their-lab, but the rights of one "
            "project are enforced, my-lab-forecasts",
        ),
        (
            record_of("projects/p", "projects/q/secrets/s"),
            "rights.json: roles/viewer of user:a@example.com is on projects/q/secrets/s, but the rights of",
        ),
        (
            plan_of().replace('"google_project_iam_member.a"', "null"),
            "rights.json: no plan as `terraform show",
        ),
        (plan_of().replace('"google_project_iam_member.a"', '""'), "rights.json: no plan as `terraform show"),
        (record_of("somewhere"), "rights.json: 'somewhere' is no resource that has a policy"),
        (record_of("projects/p", member="a@example.com"), "rights.json: the member 'a@example.com' is of an"),
    ],
    ids=[
        "no file",
        "no JSON",
        "something else",
        "no record",
        "no plan",
        "unknown role",
        "odd condition",
        "broken plan",
        "odd member",
        "deny policy",
        "plan of nothing",
        "empty record",
        "plan for another project",
        "record of two projects",
        "null address",
        "empty address",
        "record of nothing",
        "record of nobody",
    ],
)
@pytest.mark.parametrize("words", [["rehearse"], ["rehearse", "--lane", "gpu"], ["localcloud"]], ids=" ".join)
def test_a_file_without_rights_is_refused_in_a_line_before_anything_is_started(operator, words, text, said):
    if text is not None:
        (operator.folder / "rights.json").write_text(text)

    ended = operator.invoke(*words, "--rights", "rights.json")

    assert ended.exit_code == 2, ended.output
    assert ended.last_line.startswith(f"error: {said}")
    assert "Traceback" not in ended.output
    assert not list((operator.folder / "local").glob("rehearsal-*"))
    assert not (operator.folder / "local" / "cloud").exists()


@pytest.mark.parametrize("more", [[], ["--dry-run"]], ids=["", "dry run"])
@pytest.mark.parametrize(
    ("lane", "prefix", "said"),
    [
        (
            "gpu",
            "",
            "a plan of terraform/, for --lane batch; for --lane gpu, name a plan of terraform/gpu/, or leave "
            "it out, for the bindings of the deployment",
        ),
        (
            "batch",
            "forecast",
            "a plan of terraform/gpu/, for --lane gpu; for --lane batch, name a plan of terraform/, or call "
            "--rights without a file",
        ),
    ],
)
def test_a_plan_for_the_other_lane_is_refused_before_anything_is_started(operator, lane, prefix, said, more):
    plan = json.loads(plan_of())
    plan["variables"] |= {"service_prefix": {"value": prefix}} if prefix else {}
    (operator.folder / "rights.json").write_text(json.dumps(plan))

    ended = operator.invoke("rehearse", "--lane", lane, "--rights", "rights.json", *more)

    assert ended.exit_code == 2, ended.output
    assert ended.lines == [f"error: --rights rights.json: {said}"]
    assert not list((operator.folder / "local").glob("rehearsal-*"))


@pytest.mark.parametrize("lane", ["batch", "gpu"])
def test_a_record_is_of_no_lane_and_is_taken_in_both(operator, lane):
    (operator.folder / "rights.json").write_text(record_of("projects/my-lab-forecasts"))
    words = ("rehearse", "--exp-id", "trial", "--lane", lane, "--rights", "rights.json", "--dry-run")

    ended = operator.invoke(*words, PROJECT_ID="my-lab-forecasts")

    assert ended.exit_code == 0, ended.output
    assert "+ gcloud workflows deploy " in ended.output


def test_rights_that_are_asked_for_are_not_left_out_where_nothing_can_be_planned(operator):
    need_program("terraform")
    need_program("gcloud")
    (operator.folder / "mirror").mkdir()
    config = operator.folder / "empty.tfrc"
    mirror = operator.folder / "mirror"
    config.write_text(f'provider_installation {{\n  filesystem_mirror {{ path = "{mirror}" }}\n}}\n')

    ended = operator.invoke("rehearse", "--rights", TF_CLI_CONFIG_FILE=str(config))

    assert ended.exit_code == 2, ended.output
    assert ended.last_line.startswith(
        "error: --rights: terraform/ cannot be planned (terraform init: Failed to "
    )
    assert ended.last_line.endswith("or name a plan: --rights FILE")
    assert not list((operator.folder / "local").glob("rehearsal-*"))


def test_without_terraform_rights_that_are_asked_for_end_with_the_fix(operator):
    (operator.folder / "bin").mkdir()
    (operator.folder / "bin" / "gcloud").symlink_to(need_program("gcloud"))

    ended = operator.invoke("rehearse", "--rights", PATH=str(operator.folder / "bin"))

    assert ended.exit_code == 2, ended.output
    assert ended.last_line.startswith(
        "error: --rights: terraform/ cannot be planned (terraform: no such program; install it); "
    )


@pytest.mark.parametrize("lane", ["batch", "gpu"])
def test_without_gcloud_a_rehearsal_ends_before_any_work(operator, lane):
    (operator.folder / "bin").mkdir()

    ended = operator.invoke(
        *("rehearse", "--exp-id", "trial", "--lane", lane), PATH=str(operator.folder / "bin")
    )

    assert ended.exit_code == 2, ended.output
    assert ended.lines == ["error: gcloud: no such program; install it"]
    assert not list((operator.folder / "local").glob("rehearsal-*"))


def test_a_dry_run_prints_how_terraform_is_planned(operator):
    ended = operator.invoke("rehearse", "--exp-id", "trial", "--rights", "--dry-run")

    assert ended.exit_code == 0, ended.output
    shown = [line.split()[3] for line in ended.lines if line.startswith("+ terraform ")]
    assert shown == ["init", "plan", "show"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--as", "look"], "--as look: only with --rights FILE"),
        (["--iam-delay", "60"], "--iam-delay 60: only with --rights FILE"),
        (["--rights", ""], "--rights needs a value, e.g. --rights rights.json"),
        (["--rights", "rights.json", "--as", ""], "--as needs a value, e.g. --as look"),
        (["--furnish", "--rights", "rights.json"], "--rights: the cloud is started with it; call --furnish"),
        (["--furnish", "--as", "look"], "--as: the cloud is started with it; call --furnish alone"),
        (
            ["--rights", "rights.json", "--as", "runs"],
            "--as runs: use one of look, run, run-single-jobs, check, report, build, set-the-token, "
            'deploy, upload, watch, smoke, deploy-the-lane (did you mean "run"?)',
        ),
    ],
)
def test_a_shell_is_of_somebody_who_has_a_work(operator, words, said):
    (operator.folder / "rights.json").write_text(plan_of())

    ended = operator.invoke("localcloud", *words, PROJECT_ID="my-lab-forecasts")

    assert ended.exit_code == 2
    assert ended.last_line.startswith(f"error: {said}")


def test_a_cloud_of_ones_own_has_the_delay_that_is_asked_for(operator):
    (operator.folder / "rights.json").write_text(plan_of())
    words = ("localcloud", "--rights", "rights.json", "--dry-run")

    late = operator.invoke(*words, "--iam-delay", "420", PROJECT_ID="my-lab-forecasts")
    at_once = operator.invoke(*words, PROJECT_ID="my-lab-forecasts")

    assert "--rights-of my-lab-forecasts --iam-delay 420 " in late.output
    assert at_once.exit_code == 0
    assert "--iam-delay" not in at_once.output


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_file_with_a_byte_order_mark_is_read(operator, encoding):
    (operator.folder / "rights.json").write_text(plan_of(), encoding=encoding)

    ended = operator.invoke(
        "localcloud", "--rights", "rights.json", "--dry-run", PROJECT_ID="my-lab-forecasts"
    )

    assert ended.exit_code == 0, ended.output
    assert "--rights-of my-lab-forecasts" in ended.output


def test_a_shell_with_rights_says_at_its_start_which_members_count_for_nobody(operator):
    (operator.folder / "rights.json").write_text(plan_of().replace(MEMBER, "group:g@example.com"))

    ended = operator.invoke(
        "localcloud", "--rights", "rights.json", "--dry-run", PROJECT_ID="my-lab-forecasts"
    )

    assert ended.exit_code == 0, ended.output
    assert "rights: group:g@example.com: no effect here" in ended.output


def test_a_record_may_name_buckets_and_accounts_of_other_projects(operator):
    account = "projects/q/serviceAccounts/a@q.iam.gserviceaccount.com"
    record = record_of("projects/my-lab-forecasts", "projects/_/buckets/b", account)
    (operator.folder / "rights.json").write_text(record)

    ended = operator.invoke(
        "localcloud", "--rights", "rights.json", "--dry-run", PROJECT_ID="my-lab-forecasts"
    )

    assert ended.exit_code == 0, ended.output


@pytest.mark.parametrize("text", [plan_of(project="their-lab"), record_of("projects/their-lab")])
def test_the_rights_of_another_project_are_refused(operator, text):
    (operator.folder / "rights.json").write_text(text)

    ended = operator.invoke("localcloud", "--rights", "rights.json", PROJECT_ID="my-lab-forecasts")

    assert ended.exit_code == 2
    assert ended.last_line == (
        "error: --rights rights.json: for project their-lab, not my-lab-forecasts: "
        "export PROJECT_ID=their-lab"
    )
