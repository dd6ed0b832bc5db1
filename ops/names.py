"""Names that an operator gives, checked: experiments, runs, accounts; and tokens in them, masked.

The names of a run and its files, which the stages share, are in modeling/run_names.py.
"""

import re

from modeling.reference_dates import parse_reference_date
from modeling.run_names import EXP_ID_FORM, EXP_ID_LENGTH, HEADLINE, REPORT, RUN_ID_FORM, is_exp_id, is_run_id
from ops.failures import UserError

MOST = 10**18 - 1  # of a whole number
MOST_PARALLEL = 5000  # tasks of one Batch job at once
MOST_SECONDS = 14 * 24 * 3600  # that Batch lets a task run
COMPONENT = "epymodelingsuite"  # the label of all that is ours and costs money

NO_TABLES = (REPORT, HEADLINE)  # they name their run, so they differ between equal runs


def check_exp_id(exp_id: str | None) -> None:
    """Refuse a text that is not the path of an experiment below experiments/."""
    if not exp_id:
        raise UserError("--exp-id is needed: the experiment's folder below experiments/, e.g. --exp-id demo")
    if len(exp_id) > EXP_ID_LENGTH:
        raise UserError(f"--exp-id: {len(exp_id)} characters; {EXP_ID_LENGTH} at most")
    if not is_exp_id(exp_id):
        raise UserError(f'--exp-id "{exp_id}": {EXP_ID_FORM}')
    _, path, name = f"/{exp_id}".rpartition("/experiments/")
    if path:
        raise UserError(f'--exp-id "{exp_id}": write {name}, the folder below experiments/')


def without_slash(exp_id: str | None) -> str:
    """Return an experiment's name without the / that a shell completes; a lone / stays, and is refused."""
    return re.sub(r"(?<=.)/$", "", exp_id or "")


def check_run_id(run_id: str) -> None:
    """Refuse what is no run id."""
    if not is_run_id(run_id):
        raise UserError(f'--run-id "{run_id}": {RUN_ID_FORM}')


def check_reference_date(text: str) -> None:
    """Refuse what is not a Saturday, such as 2026-01-10."""
    try:
        parse_reference_date(text)
    except ValueError as error:
        raise UserError(f"--reference-date {shown(text):.40}: {error}") from None


def account_email(project: str, account: str) -> str:
    """Return the e-mail address of a service account, given as that address or as its part before the @."""
    return account if "@" in account else f"{account}@{project}.iam.gserviceaccount.com"


def masked(text: str) -> str:
    """Return a text without the tokens in it: one may have been pasted in place of its secret's name."""
    return re.sub(r"(?i)(gh[a-z]_|github_pat_)\w+|\b[0-9a-f]{40}\b|(?<=//)[^/@]+(?=@)", "***", text)


def shown(text: str) -> str:
    """Return a value as an error shows it: in one line, without a token."""
    return re.sub(r"[\x00-\x1f\x7f]", lambda found: repr(found[0])[1:-1], masked(text))
