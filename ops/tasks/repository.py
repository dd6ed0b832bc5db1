"""Tasks about this checkout: an emulated cloud, style, packages, tests, what can be removed."""

from ops import docs as generated
from ops import quality
from ops.environment import read_settings
from ops.laptop import clean as cleaning
from ops.laptop import local_cloud
from ops.rehearsal import populate
from ops.shell import Shell
from ops.tasks.verb import DRY_RUN, YES, the_cloud, verb


@verb(
    help={
        "clock_speed": "how much faster time goes for its services, e.g. 60; tasks that do work keep ours",
        "docker": "run tasks of Batch in containers instead of processes",
        "storage_port": "port of Cloud Storage on 127.0.0.1; a free one without it",
        "apis_port": "port of all other services; a free one without it",
        "furnish": "start none; create in this shell's emulated cloud what Terraform and a build would",
        "dry_run": DRY_RUN,
    }
)
def localcloud(
    c, clock_speed="1", docker=False, storage_port=None, apis_port=None, furnish=False, dry_run=False
):
    """Run an emulated Google Cloud on this machine until Ctrl-C, and print the exports for a shell."""
    if furnish:
        populate.populate_this_shell(the_cloud(dry_run))
        return
    request = local_cloud.CloudRequest(clock_speed, docker, storage_port or 0, apis_port or 0)
    local_cloud.run_emulator(Shell(dry_run), read_settings(), request)


@verb(help={"fix": "rewrite what can be fixed automatically", "dry_run": DRY_RUN})
def lint(c, fix=False, dry_run=False):
    """Check the style of Python, shell code and the Dockerfile, and scan terraform/."""
    quality.lint(Shell(dry_run), fix)


@verb(help={"check": "write nothing; fail if a file is stale, and name it"})
def docs(c, check=False):
    """Generate .env.example, Terraform's variables, job templates, and the tables of settings and tasks."""
    generated.write(check)


@verb(help={"upgrade": "take the newest versions instead of keeping what is locked", "dry_run": DRY_RUN})
def lock(c, upgrade=False, dry_run=False):
    """Lock the packages of every requirements file, with hashes."""
    quality.lock(Shell(dry_run), upgrade)


@verb(
    help={
        "match": "only tests whose name matches, as pytest -k takes it",
        "path": "only this file or folder, e.g. tests/stages/test_storage.py",
        "lane": "a folder of tests/, e.g. stages, or all; default unit and the lanes of changed files",
        "dry_run": DRY_RUN,
    }
)
def test(c, match="", path="", lane="", dry_run=False):
    """Run the tests of what was changed since the last commit, or of a lane; `make test` runs all."""
    quality.test(Shell(dry_run), match, path, lane)


@verb(
    help={
        "seed": "root of every random draw; another one tries other mutants",
        "count": "number of mutants, about 25 a second and core",
        "dry_run": DRY_RUN,
    }
)
def fuzz(c, seed=1, count=2000, dry_run=False):
    """Try random changes of experiments, data and artifacts: each is refused in a line or valid."""
    quality.fuzz(Shell(dry_run), seed, count)


@verb(
    help={
        "runs": "also delete local runs with their results",
        "buckets": "also delete the buckets of `invoke localcloud`",
        "exp_id": "with --runs: only this experiment's",
        "yes": YES,
        "dry_run": "print what would be removed, remove nothing",
    }
)
def clean(c, runs=False, buckets=False, exp_id="", yes=False, dry_run=False):
    """Remove caches and half-written files, and local runs or buckets when asked."""
    cleaning.clean(read_settings(), runs, buckets, exp_id, yes, dry_run)
