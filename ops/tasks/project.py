"""Tasks for the settings and the project on Google Cloud: configure, set up, check, remove."""

from ops import config
from ops.cloud.deployment import check_stages_fit
from ops.environment import read_settings
from ops.gpu import evidence
from ops.project import doctor as check_up
from ops.project import github_token, lifecycle, terraform
from ops.project import report as project_report
from ops.shell import Shell
from ops.tasks.verb import DRY_RUN, OUT, YES, the_cloud, verb


@verb(help={"force": "replace an existing .env"})
def config_init(c, force=False):
    """Create .env from .env.example."""
    config.create(force)


@verb()
def config_edit(c):
    """Open .env in your editor, then check it."""
    config.edit(check_stages_fit)


@verb(help={"brief": "only the mode, the project, the region, the bucket and the image"})
def config_show(c, brief=False):
    """Show every setting, its value and its source."""
    config.show_current() if brief else config.show()


@verb()
def config_validate(c):
    """Check every setting and that the files and folders it names exist."""
    config.validate(check_stages_fit)


@verb(help={"dry_run": DRY_RUN})
def tf_init(c, dry_run=False):
    """Download Terraform's provider and connect to the state in the bucket."""
    terraform.init(the_cloud(dry_run))


@verb(help={"out": OUT, "dry_run": DRY_RUN})
def tf_plan(c, out=None, dry_run=False):
    """Show what `invoke tf-apply` would change in the project."""
    terraform.plan(the_cloud(dry_run), out)


@verb(help={"yes": YES, "dry_run": DRY_RUN})
def tf_apply(c, yes=False, dry_run=False):
    """Set up the project: APIs, registry, accounts, network, workflow."""
    terraform.apply(the_cloud(dry_run), yes or dry_run)


@verb(help={"yes": YES, "dry_run": DRY_RUN})
def tf_destroy(c, yes=False, dry_run=False):
    """Delete everything that `invoke tf-apply` created, and every image; runs and secrets stay."""
    terraform.destroy(the_cloud(dry_run), yes or dry_run)


@verb(help={"json": "as JSON, for scripts", "dry_run": DRY_RUN})
def tf_output(c, json=False, dry_run=False):
    """Print the resources that were set up: workflow, image, accounts, network."""
    terraform.output(the_cloud(dry_run), json)


@verb(
    help={
        "days": f"days until inputs and results are deleted, 0 for never; default {lifecycle.DEFAULT_DAYS}",
        "yes": YES,
        "dry_run": "show the rules and print the command that would set them",
    }
)
def bucket_lifecycle(c, days=None, yes=False, dry_run=False):
    """Set rules by which the bucket deletes inputs and results after some days; forecasts stay."""
    chosen = lifecycle.DEFAULT_DAYS if days is None else days
    lifecycle.set_rules(the_cloud(dry_run), chosen, yes or dry_run)


@verb(
    help={
        "cloud": "also check account, project, bucket, image etc.; the default if EXECUTION_MODE=cloud",
        "report": "also write what was found, without names, to this new file, to attach to an issue",
        "dry_run": DRY_RUN,
    }
)
def doctor(c, cloud=False, report=None, dry_run=False):
    """Check that this machine and, for the cloud, the project are ready; print how to fix what is missing."""
    shell, settings = Shell(dry_run), read_settings()
    if report is None:
        check_up.examine(shell, settings, cloud)
    else:
        project_report.write(shell, settings, report, cloud, evidence.DOUBTS)


@verb(
    help={
        "force": "store the token even if it does not look like one or cannot read the repositories",
        "disable_old": "then disable the earlier versions",
        "dry_run": DRY_RUN,
    }
)
def secret_set(c, force=False, disable_old=False, dry_run=False):
    """Test a GitHub token on the repositories and store it in Secret Manager; from a prompt or a file."""
    github_token.store(the_cloud(dry_run, needs_bucket=False), force, disable_old)


@verb(help={"dry_run": DRY_RUN})
def secret_check(c, dry_run=False):
    """Test the GitHub token in Secret Manager on the repositories, and print its age."""
    github_token.check(the_cloud(dry_run, needs_bucket=False))
