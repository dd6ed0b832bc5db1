"""Tasks for this checkout: an emulated cloud, style, packages, tests, cleaning up."""

from pathlib import Path

from ops import docs as generated
from ops import quality
from ops.environment import read_settings
from ops.laptop import clean as cleaning
from ops.laptop import compat as compatibility
from ops.laptop import local_cloud
from ops.rehearsal import furnish as furnishing
from ops.shell import Shell
from ops.tasks.verb import DRY_RUN, YES, the_cloud, verb


@verb(
    help={
        "clock_speed": "how much faster its services' clock runs, e.g. 60; running tasks keep real time",
        "docker": "run tasks of Batch in containers instead of processes",
        "storage_port": "port of Cloud Storage on 127.0.0.1; default a free one",
        "apis_port": "port of all other services; default a free one",
        "rights": "enforce the rights of this file: a plan as `terraform show -json` prints it, or a record",
        "iam_delay": "with --rights: seconds of its services' clock until a changed policy counts; default 0",
        "as_": "whose shell it is with --rights: look, run, build, ... of docs/access.md; default the owner",
        "furnish": "create what Terraform and a build would in this shell's emulated cloud; start none",
        "dry_run": DRY_RUN,
    }
)
def localcloud(
    c,
    clock_speed="1",
    docker=False,
    storage_port=None,
    apis_port=None,
    rights=None,
    iam_delay=0,
    as_=None,
    furnish=False,
    dry_run=False,
):
    """Run an emulated Google Cloud on this machine until Ctrl-C, and print the exports for a shell."""
    furnishing.check_words(rights, as_, furnish)
    if furnish:
        furnishing.furnish_this_shell(the_cloud(dry_run))
        return
    settings = read_settings()
    request = local_cloud.CloudRequest(clock_speed, docker, storage_port or 0, apis_port or 0)
    request = furnishing.with_rights(request, settings, rights or "", as_ or "", iam_delay)
    local_cloud.run_emulator(Shell(dry_run), settings, request)


@verb(help={"fix": "rewrite what can be fixed automatically", "dry_run": DRY_RUN})
def lint(c, fix=False, dry_run=False):
    """Check the style of Python, shell code and the Dockerfile, and scan terraform/."""
    quality.lint(Shell(dry_run), fix)


@verb(help={"check": "write nothing; fail and name the files if any is stale"})
def docs(c, check=False):
    """Generate .env.example, Terraform's variables, job templates, the JSON schema, and tables in pages."""
    generated.write(check)


@verb(help={"upgrade": "use the newest versions instead of the locked ones", "dry_run": DRY_RUN})
def lock(c, upgrade=False, dry_run=False):
    """Lock the packages of every requirements file, with hashes."""
    quality.lock(Shell(dry_run), upgrade)


@verb(
    help={
        "match": "only tests whose name matches, as for pytest -k",
        "path": "only this file or folder, e.g. tests/stages/test_storage.py",
        "lane": "a folder of tests/, e.g. stages, or all; default unit and the lanes of changed files",
        "dry_run": DRY_RUN,
    }
)
def test(c, match="", path="", lane="", dry_run=False):
    """Run the tests of files changed since the last commit, or of a lane; `make test` runs all."""
    quality.test(Shell(dry_run), match, path, lane)


@verb(
    help={
        "seed": "seed of every random draw; another seed tries other mutants",
        "count": "number of mutants; about 25 per second and core",
        "dry_run": DRY_RUN,
    }
)
def fuzz(c, seed=1, count=2000, dry_run=False):
    """Try random changes of experiments, data and artifacts: each must be refused in one line or be valid."""
    quality.fuzz(Shell(dry_run), seed, count)


@verb(
    help={
        "from_": "a checkout of epymodelingsuite, or a folder with its YAML files",
        "full": "as many particles, generations, samples and trajectories as published, which may take hours",
    }
)
def compat(c, from_, full=False):
    """Run every experiment of a checkout of epymodelingsuite here, and print which of them run."""
    compatibility.check_published(Shell(), read_settings(), Path(from_), full)


@verb(
    help={
        "runs": "also delete local runs with their results",
        "buckets": "also delete the buckets of `invoke localcloud`",
        "exp_id": "with --runs: only this experiment",
        "yes": YES,
        "dry_run": "print what would be removed, and remove nothing",
    }
)
def clean(c, runs=False, buckets=False, exp_id="", yes=False, dry_run=False):
    """Remove caches and half-written files, and local runs or buckets when asked."""
    cleaning.clean(read_settings(), runs, buckets, exp_id, yes, dry_run)
