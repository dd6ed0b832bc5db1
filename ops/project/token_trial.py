"""A GitHub token on trial: can it read the repositories that are set, as the stages and the build will?"""

from collections.abc import Sequence
from dataclasses import dataclass

from ops.project import git_remote
from ops.project.checkup import Answer, Question, ask_all, refuse
from ops.project.doctor import lines_of
from ops.project.git_remote import Remote
from ops.shell import Shell


@dataclass
class _Trial:
    """A token, and what its questions learn together."""

    token: str
    was_needed: bool = False  # by one of the repositories at least


def hold(shell: Shell, asked: Sequence[Remote], token: str) -> bool:
    """Try a token on repositories, print what came of it, and return whether one of them needed it.

    Raises
    ------
    UserError
        The token does not do (exit code 2), or that cannot be told because of a passing fault (75).
    """
    trial = _Trial(token)
    if shell.dry_run:
        for remote in asked:
            shell.echo(git_remote.list_refs(remote), note="without the token, then with it")
        return True
    questions = [Question(each.setting, lambda each=each: _ask(shell, each, trial)) for each in asked]
    findings = []
    for finding in ask_all(questions):
        print("\n".join(lines_of(finding, max(len(each.what) for each in questions), 0)), flush=True)
        findings.append(finding)
    refuse(findings, "the token does not do")
    return trial.was_needed


def _ask(shell: Shell, remote: Remote, trial: _Trial) -> Answer:
    commit, needed_token = git_remote.ask(shell, remote, trial.token)
    trial.was_needed |= needed_token
    public = "" if needed_token else "; it is public, so the token was not tried"
    return Answer(f"{remote.name}: {remote.ref} is {commit[:12]}{public}")
