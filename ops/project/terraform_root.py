"""A folder of Terraform, connected to its state: how it is planned, applied and asked, whatever it describes.

The operator is asked before anything changes, and the plan that was shown is the plan that is applied.
"""

import contextlib
import fcntl
import json
import re
import signal
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from ops.cloud.cloud import Cloud
from ops.failures import UserError
from ops.shell import Ended, Shell
from ops.terminal import confirmed, nearest

KEPT = ".terraform"  # Terraform's own folder, which git ignores
OLDEST = (1, 5, 7)
UNFIT = (1, 6)  # its init reads tests/*.tftest.hcl, and does not know mock_provider, which 1.7 brought
PLAN = f"{KEPT}/invoke.tfplan"
INIT_SECONDS = 900  # with the provider's download
CALL_SECONDS = 120
FINISH_SECONDS = 1200  # Terraform finishes what it has begun; if killed, it would lose track of it
NO_CHANGES, CHANGES = 0, 2  # exit codes of plan -detailed-exitcode


@dataclass(frozen=True)
class Root:
    """A folder of Terraform, its variables, and where its state is.

    Raises
    ------
    UserError
        As all functions here: Terraform is missing or too old, it has no credentials, or it failed.
    """

    cloud: Cloud
    folder: Path
    tasks: str  # what the names of its tasks begin with: tf or gpu
    state_prefix: str  # path of the state in its bucket
    variables: Mapping[str, str]  # as environment variables, TF_VAR_...

    @property
    def state(self) -> str:
        """Where the state is, for messages."""
        return f"gs://{self._state_bucket}/{self.state_prefix}"

    @contextlib.contextmanager
    def connected(self) -> Iterator[None]:
        """Lock the folder and connect it to the state: it can be connected to only one at a time."""
        if self.cloud.shell.dry_run:
            self._init()
            yield
            return
        check_version(self.cloud.shell)
        (self.folder / KEPT).mkdir(exist_ok=True)
        with open(self.folder / KEPT / "invoke.lock", "w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise UserError(
                    f"another `invoke {self.tasks}-...` is running in this folder; wait until it has ended"
                ) from None
            self._init()
            try:
                yield
            finally:
                (self.folder / PLAN).unlink(missing_ok=True)

    def show_plan(self, out: Path | None = None) -> None:
        """Show what an apply would change, and write the plan to a file, as JSON, if one is named."""
        if out is None:
            self.run("plan")
            return
        self.run("plan", f"-out={PLAN}")
        argv, shell = [*self._terraform, "show", "-json", PLAN], self.cloud.shell
        ended = shell.run(argv, {"TF_IN_AUTOMATION": "1"}, timeout_seconds=CALL_SECONDS, output_file=str(out))
        if ended is None:
            return
        if ended.exit_code:
            raise UserError(
                f"terraform show: {first_error(ended)[:400] or 'it printed nothing'}", exit_code=1
            )
        with contextlib.suppress(OSError):  # write_file() says what is wrong
            out.touch(mode=0o600)  # a plan has the settings, such as who is alerted
        shell.write_file(out, ended.output)
        shell.report(f"wrote {nearest(out)}")

    def planned(self, *options: str) -> bool:
        """Show a plan and keep it; return whether anything would change, True in a dry run."""
        code = self._run("plan", *options, "-detailed-exitcode", f"-out={PLAN}")
        if code not in (NO_CHANGES, CHANGES):
            raise _failed("plan")
        return self.cloud.shell.dry_run or code == CHANGES

    def apply(self, yes: bool) -> bool:
        """Show what would change, ask unless `yes`, and change it; return whether there was anything."""
        project = self.cloud.project
        if not self.planned():
            print(f"nothing to change in project {project}")
            return False
        ask(yes, f'apply this to project {project}? Type "yes" to confirm: ')
        self.carry_out()
        return True

    def carry_out(self) -> None:
        """Apply the plan that was shown, and nothing else."""
        self.run("apply", PLAN)

    def run(self, *words: str) -> None:
        """Run Terraform with the variables; refuse if it fails."""
        if self._run(*words):
            raise _failed(words[0])

    def _init(self) -> None:
        """Connect to the state that the settings name, even if the folder was connected to another one.

        Nothing is moved from one state to another: -reconfigure, never -migrate-state.
        """
        argv = [*self._terraform, "init", "-reconfigure", "-input=false", "-no-color"]
        argv += [f"-backend-config=bucket={self._state_bucket}"]
        argv += [f"-backend-config=prefix={self.state_prefix.rstrip('/')}"]
        ended = self.cloud.shell.run(argv, {"TF_IN_AUTOMATION": "1"}, timeout_seconds=INIT_SECONDS)
        if ended and ended.exit_code:
            raise self._refused(ended)

    def _refused(self, ended: Ended) -> UserError:
        """Return Terraform's first error in one line, with its fix if that is known."""
        reason = first_error(ended)
        if re.search("default credentials|getting credentials|oauth2|invalid_grant|reauth", reason):
            fix = "gcloud auth application-default login"
            return UserError("Terraform has no credentials for Google Cloud", fix=fix)
        if re.search(r"bucket doesn't exist|notFound|404", reason):
            cloud, bucket = self.cloud, self._state_bucket
            name = "TF_STATE_BUCKET" if cloud.settings.tf_state_bucket else "BUCKET_NAME"
            fix = f"gcloud storage buckets create gs://{bucket} --project {cloud.project} "
            fix += f"--location {cloud.region} --uniform-bucket-level-access --public-access-prevention"
            return UserError(
                f"{name}={bucket}: the bucket for the state does not exist; check it, or", fix=fix
            )
        return UserError(f"terraform init: {reason[:400] or 'it printed nothing'}", exit_code=1)

    def _run(self, *words: str) -> int:
        """Run Terraform; on Ctrl-C it finishes what it has begun, and records it."""
        options = ["-input=false"] if words[0] != "output" else []
        options += [] if sys.stdout.isatty() else ["-no-color"]
        return self.cloud.shell.stream(
            [*self._terraform, words[0], *options, *words[1:]],
            {**self.variables, "TF_IN_AUTOMATION": "1"},
            stop_with=signal.SIGINT,
            grace_seconds=FINISH_SECONDS,
        )

    @property
    def _terraform(self) -> list[str]:
        return ["terraform", f"-chdir={nearest(self.folder)}"]

    @property
    def _state_bucket(self) -> str:
        return self.cloud.settings.tf_state_bucket or self.cloud.bucket


def first_error(ended: Ended) -> str:
    """Return Terraform's first error in one line; what it printed if it printed no error."""
    text = re.sub(r"(?m)^[│╷╵ ]+", "", ended.errors or ended.output)
    first = re.search(r"(?ms)^Error: (.*?)(?=^Error: |\Z)", text)
    return " ".join((first[1] if first else text).split())


def plan_file(option: str | None) -> Path | None:
    """Return the file that --out names; refuse a name that cannot be a file's before minutes of planning.

    Raises
    ------
    UserError
    """
    if option is None:
        return None
    path = Path(option).expanduser()
    if not option:
        raise UserError("--out needs the name of a file, e.g. --out plan.json")
    if path.is_dir():
        raise UserError(f"--out {nearest(path)}: it is a folder; name a file in it")
    if path.exists() and not _is_plan(path):
        raise UserError(f"--out {nearest(path)}: it is there, and is no plan; name another file")
    if not path.parent.is_dir():
        raise UserError(f"--out {nearest(path)}: no such folder {nearest(path.parent)}; create it")
    return path


def _is_plan(path: Path) -> bool:
    """Return whether a file is what `terraform show -json` prints."""
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return False
    return isinstance(content, dict) and "terraform_version" in content


def as_variables(values: Mapping[str, object]) -> dict[str, str]:
    """Return values by the name of their variable as the environment passes them to Terraform."""
    return {
        f"TF_VAR_{name}": value if isinstance(value, str) else json.dumps(value)
        for name, value in values.items()
    }


def ask(yes: bool, question: str) -> None:
    """Ask the operator, unless `yes` answers; refuse without a "yes"."""
    if not yes and not confirmed(question, "yes"):
        raise UserError("nothing was changed", exit_code=1)


def check_version(shell: Shell) -> None:
    """Refuse a Terraform that is missing or cannot read these files."""
    said = shell.run_always(["terraform", "version", "-json"], timeout_seconds=CALL_SECONDS).output
    found = re.search(r'"terraform_version": *"(\d+)\.(\d+)\.(\d+)', said)
    version = tuple(map(int, found.groups())) if found else OLDEST
    wrong = "is too old" if version < OLDEST else "cannot read tests/" if version[:2] == UNFIT else ""
    if wrong:
        raise UserError(
            f"terraform {_dotted(version)} {wrong}; install {_dotted(OLDEST)}, or 1.7 or newer: "
            "https://developer.hashicorp.com/terraform/install"
        )


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))


def _failed(command: str) -> UserError:
    return UserError(f"terraform {command} failed; see above", exit_code=1)
