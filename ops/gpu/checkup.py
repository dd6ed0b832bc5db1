"""`invoke gpu-check`: are this machine, the person, the project and its quotas ready for the GPU lane?

The questions change nothing. What `invoke gpu-deploy` makes itself (APIs, images) is only a warning.
"""

import json
import shlex
from collections.abc import Callable

from ops.cloud import checks
from ops.cloud.cloud import Cloud
from ops.failures import UserError
from ops.gcloud import AT_ONCE, GcloudError, Refusal, in_parallel
from ops.gpu import images, quotas
from ops.gpu.deploy import apis_of
from ops.gpu.names import BUCKETS, SERVICES, Names
from ops.gpu.rights import OWN_BUCKETS, places_of_people
from ops.gpu.rules import MORE_GPUS, REGIONS, contradictions
from ops.gpu.sizes import NO_GPU, size_of
from ops.people import GPU_WORK
from ops.project import checkup, doctor, rights
from ops.project.checkup import Answer, Question
from ops.settings import Settings
from ops.shell import Shell
from ops.terminal import counted

LAST_WITHOUT_TOKENS = "2021-04-08"  # day
GETS_TOKENS = ("pubsub.serviceAgent", "iam.serviceAccountTokenCreator")
BUILD, DEPLOY, EDIT = "invoke gpu-build", "invoke gpu-deploy", "invoke config-edit"


def examine(shell: Shell, settings: Settings) -> None:
    """Print what is ready for `invoke gpu-deploy`, and the command that fixes what is not.

    Raises
    ------
    UserError
        Something that is needed is missing (exit code 1), or unknown because of a temporary fault (75).
    """
    where = f"Google Cloud: {settings.project_id or 'no project'}, {settings.region}"
    groups = {"this machine": _of_the_machine(shell), where: _of_the_cloud(shell, settings)}
    checkup.examine(shell, groups, f"ready for {DEPLOY}", exit_code=1)


def _of_the_machine(shell: Shell) -> list[Question]:
    return [
        Question("gcloud", lambda: doctor.gcloud(shell)),
        # only gpu-plan and gpu-apply need it
        Question("terraform", lambda: doctor.terraform(shell), is_needed=False),
    ]


def _of_the_cloud(shell: Shell, settings: Settings) -> list[Question]:
    def asked(question: Callable[[Cloud], Answer]) -> Callable[[], Answer]:
        """Return a question that makes its cloud itself, so that a missing setting is a finding."""
        return lambda: question(Cloud.of(shell, settings, needs_bucket=False))

    here = ("gcloud", "account", "project")
    return [
        Question("account", lambda: Answer(checks.check_account(shell)), ("gcloud",)),
        Question("project", asked(_project), ("gcloud", "account")),
        Question("billing", asked(_billing), here),
        Question("APIs", asked(_apis), here, is_needed=False),
        Question("settings", lambda: _settings(settings)),
        Question("region", lambda: _region(settings), ("settings",)),
        Question("GPU quota", asked(_gpu_quota), (*here, "region")),
        Question("CPU and memory", asked(_sizes), here, is_needed=False),
        *_of_people(shell, settings, here),
        Question("tokens of events", asked(check_tokens), here, is_needed=False),
        Question("names", asked(_names), here),
        Question("images", asked(_images), here, is_needed=False),
    ]


def _project(cloud: Cloud) -> Answer:
    found = checks.check_project(cloud)
    return Answer(f"{cloud.project}, number {found.get('projectNumber', '')}")


def _billing(cloud: Cloud) -> Answer:
    try:
        found = cloud.read_json(["billing", "projects", "describe", cloud.project], echo=False)
    except GcloudError as error:
        if error.refusal is not Refusal.DISABLED:
            raise
        return _unknown(error)
    if found is None:
        return Answer("")
    if not found.get("billingEnabled"):
        raise UserError(
            f"{cloud.project} has no billing account",
            fix=f"gcloud billing projects link {cloud.project} --billing-account ACCOUNT "
            "(gcloud billing accounts list shows yours)",
        )
    return Answer(found.get("billingAccountName", "").rpartition("/")[2])


def _apis(cloud: Cloud) -> Answer:
    number = checks.check_apis(cloud, sorted([*apis_of(cloud.settings), "cloudbuild", "cloudquotas"]))
    return Answer(f"all {number} are enabled")


def _settings(settings: Settings) -> Answer:
    if problems := list(contradictions(settings)):
        raise UserError("; ".join(problems), fix=EDIT)
    return Answer("they fit together")


def _region(settings: Settings) -> Answer:
    """Return whether everyone may have the GPU in the region; _settings() refuses a region without it."""
    wanted, here = settings.gpu_type, settings.region
    if wanted == NO_GPU:
        return Answer(f"{here}, without a GPU (GPU_TYPE=none)")
    table = json.loads(REGIONS.read_text(encoding="utf-8"))
    invited = table["by_invitation"][wanted]
    offered = [each for each in table[wanted] if each not in invited]
    if here in invited:
        return Answer(
            f"{wanted} in {here} is by invitation; open (seen {table['seen']}): {', '.join(offered)}",
            is_warning=True,
            fix=EDIT,
        )
    return Answer(f"{here} has {wanted}")


def _gpu_quota(cloud: Cloud) -> Answer:
    """Compare GPU_MAX_INSTANCES with the GPUs that the project may have in the region."""
    settings = cloud.settings
    if settings.gpu_type == NO_GPU:
        return Answer("no GPU is needed")
    found = _limits(cloud)
    if isinstance(found, Answer):
        return found
    quota, wanted = quotas.gpu_quota(settings), size_of(settings, "inference").instances
    allowed = quotas.gpus_allowed(found, quota)
    if allowed is None:
        return Answer(f"{quota}: no limit is listed for {cloud.region}", is_warning=True, fix=MORE_GPUS)
    if not allowed:
        raise UserError(f"{quota}: no GPU is allowed in {cloud.region}; ask for quota", fix=MORE_GPUS)
    if wanted > allowed:
        raise UserError(
            f"{quota}: {allowed} allowed; set GPU_MAX_INSTANCES={allowed}, or ask for quota",
            fix=MORE_GPUS,
        )
    return Answer(f"{counted(allowed, 'GPU')} allowed, {wanted} wanted (GPU_MAX_INSTANCES)")


def _sizes(cloud: Cloud) -> Answer:
    found = _limits(cloud)
    if isinstance(found, Answer):
        return found
    more = quotas.MORE.format(project=cloud.project)
    if short := list(quotas.shortages(cloud.settings, found)):
        return Answer(f"{'; '.join(short)}, or ask for quota", is_warning=True, fix=more)
    return Answer("enough for the most instances of each service")


def _limits(cloud: Cloud) -> dict[str, int] | Answer:
    """Return the quotas, or the warning that they cannot be read because the API is not enabled."""
    try:
        return quotas.limits(cloud)
    except GcloudError as error:
        if error.refusal is not Refusal.DISABLED:
            raise
        return _unknown(error)


def _of_people(shell: Shell, settings: Settings, after: tuple[str, ...]) -> list[Question]:
    """Return the questions about what the person may do; a deployment makes the lane's buckets."""
    return rights.of_works(
        lambda: Cloud.of(shell, settings, needs_bucket=False),
        places_of_people(settings),
        after,
        GPU_WORK,
        to_come=OWN_BUCKETS,
    )


def check_tokens(cloud: Cloud) -> Answer:
    """Return whether Pub/Sub's own account can get a token of the trigger's account for an event.

    It has a role for that where Pub/Sub was enabled after April 8, 2021. So an older project is looked at:
    https://cloud.google.com/eventarc/standard/docs/workflows/roles-permissions
    """
    found = checks.check_project(cloud)
    created = str(found.get("createTime", ""))[:10]
    if not created:  # a dry run
        return Answer("")
    if created > LAST_WITHOUT_TOKENS:
        return Answer(f"Google's account of Pub/Sub has the role in a project of {created}")
    agent = f"serviceAccount:service-{found['projectNumber']}@gcp-sa-pubsub.iam.gserviceaccount.com"
    policy = cloud.read_json(["projects", "get-iam-policy", cloud.project], echo=False) or {}
    given = {each["role"] for each in policy.get("bindings", []) if agent in each.get("members", [])}
    if having := sorted(given & {f"roles/{each}" for each in GETS_TOKENS}):
        return Answer(f"{agent} has {having[0]}")
    words = ["gcloud", "projects", "add-iam-policy-binding", cloud.project, "--member", agent]
    return Answer(
        f"a project of {created}: {agent} needs a role for them if Pub/Sub was enabled by "
        f"{LAST_WITHOUT_TOKENS}",
        is_warning=True,
        fix=shlex.join([*words, "--role", f"roles/{GETS_TOKENS[-1]}", "--condition", "None"]),
    )


def _names(cloud: Cloud) -> Answer:
    """Return whether the names of the buckets, which all of Google Cloud shares, are free or the lane's."""
    names = Names.of(cloud.settings)
    wanted = [names.bucket(each) for each in BUCKETS]
    listed = cloud.read_json(["storage", "buckets", "list", *cloud.in_project], echo=False) or []
    own = {each["name"] for each in listed} & set(wanted)
    others = [each for each in wanted if each not in own]
    calls = [lambda each=each: _is_taken(cloud, each) for each in others]
    taken = in_parallel(calls, cloud.shell.most_at_once(AT_ONCE)) if calls else []
    if any(taken):
        named = ", ".join(f"gs://{each}" for each, is_taken in zip(others, taken, strict=True) if is_taken)
        raise UserError(f"of another project: {named}; set another SERVICE_PREFIX", fix=EDIT)
    if own:
        return Answer(f"{names.stem} is deployed, at least in part: {DEPLOY} brings it up to date")
    return Answer(f"{names.stem} is free")


def _is_taken(cloud: Cloud, bucket: str) -> bool:
    words = ["storage", "buckets", "describe", f"gs://{bucket}", *cloud.in_project]
    try:
        return bool(cloud.read_json(words, echo=False))
    except GcloudError as error:
        if error.refusal not in (Refusal.MISSING, Refusal.DENIED):
            raise
        return error.refusal is Refusal.DENIED


def _images(cloud: Cloud) -> Answer:
    """Return the tag of the three images; refuse if one is not there."""
    names, tag = Names.of(cloud.settings), cloud.settings.image_tag
    if missing := images.missing_of(images.digests(cloud, names)):
        raise UserError(f"not in {names.images} as {tag}: {', '.join(missing)}", fix=BUILD)
    return Answer(f"{', '.join(SERVICES)} as {tag}")


def _unknown(error: GcloudError) -> Answer:
    return Answer(f"not known: {error.problem}", is_warning=True, fix=error.fix)
