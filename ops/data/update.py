"""Fetch target data with vintages into data/flusight/ of the forecasting repository.

What is fetched and kept is decided in hub_files.py, vintage_file.py and keeping.py.
"""

import datetime
import re
import shlex
import sys
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from rich.table import Table

from modeling.failures import listed
from modeling.weeks import season_of, season_start
from ops.data.history import ADDRESS as HISTORY
from ops.data.history import NAME as HISTORY_NAME
from ops.data.history import fetch_history
from ops.data.hub_files import WEEK, Hub
from ops.data.keeping import Keeper, damage
from ops.data.sources import Source, open_source
from ops.data.store import Store, open_store
from ops.data.vintage_file import fetch_file
from ops.failures import UserError
from ops.laptop.local_run import forecast_repository
from ops.laptop.run_lock import held_file
from ops.names import check_exp_id
from ops.settings import Settings
from ops.shell import Shell
from ops.terminal import cell, console, counted, nearest

EXP_ID = "flusight"
FOLDER = Path("data") / "flusight"
LOCK = ".update"
SEASONS_BACK = 2
OLD_WEEKS = 2  # between the newest week of a vintage and its day: no forecast of the next Saturday


@dataclass(frozen=True)
class UpdateRequest:
    """What is asked for.

    Attributes
    ----------
    since : date or None
        First Saturday of archived data; None for two seasons back.
    models : list of str
        Models of the hub whose forecasts are fetched, too.
    """

    exp_id: str
    since: datetime.date | None = None
    models: tuple[str, ...] = ()
    accept_changes: bool = False
    with_history: bool = False

    @property
    def command(self) -> str:
        """The command that asks for the same vintages."""
        options = [] if self.exp_id == EXP_ID else ["--exp-id", self.exp_id]
        options += [] if self.since is None else ["--since", str(self.since)]
        return shlex.join(["invoke", "data-update", *options])

    @staticmethod
    def of(exp_id: str, since: str, models: str, accept_changes: bool, with_history: bool) -> "UpdateRequest":
        """Return the request of the options as they are typed.

        Raises
        ------
        UserError
            A date is none or lies in the future, or a model has no possible name.
        """
        names = tuple(dict.fromkeys(name.strip() for name in models.split(",") if name.strip()))
        for name in names:
            if not re.fullmatch(r"[A-Za-z0-9_+]+-[A-Za-z0-9_+]+", name):
                raise UserError(f"--models {name:.60}: write TEAM-MODEL, such as FluSight-baseline")
        return UpdateRequest(exp_id, _date(since), names, accept_changes, with_history)


def update(shell: Shell, settings: Settings, request: UpdateRequest) -> None:
    """Fetch what is new, and print what there is now; a dry run prints what it would ask for.

    Raises
    ------
    UserError
        The source cannot be reached, a file was refused or is damaged, another update is running, or nothing
        can be written. What is complete is kept.
    """
    folder = _repository(settings, request.exp_id) / FOLDER
    source = open_source(settings.target_data_source)
    if source.is_file and request.models:
        raise UserError(
            "--models: TARGET_DATA_SOURCE is one file of vintages, which has no forecasts of models"
        )
    shell.end_if_dry_run(lambda: _print_plan(source, _keeper(folder, request), request))
    taken = f"{nearest(folder)} is being updated by another task; wait until it has ended"
    with held_file(folder / LOCK, taken):
        keeper = _keeper(folder, request)
        keeper.store.remove_partial_files()
        try:
            _fetch(source, keeper, request)
        except BaseException as error:
            if keeper.counts["new"]:
                kept = f"{counted(keeper.counts['new'], 'new file')} kept in {nearest(folder)}"
                print(f"{kept}; run it again for the others", file=sys.stderr)
            elif isinstance(error, KeyboardInterrupt):
                print("stopped; nothing new was kept", file=sys.stderr)
            raise
    _show(keeper, request)
    refused = [*keeper.problems]
    if damaged := damage(keeper.store, keeper.damaged, request.command):
        refused.append(damaged)
    if refused:
        raise UserError("; ".join(map(str, refused)))


def _repository(settings: Settings, exp_id: str) -> Path:
    check_exp_id(exp_id)
    repository = forecast_repository(settings, exp_id)
    if not repository.is_dir():
        raise UserError(
            f"FORECAST_REPO_DIR={nearest(repository)}: no such folder; create it, or fix the setting"
        )
    return repository


def _keeper(folder: Path, request: UpdateRequest) -> Keeper:
    store = open_store(folder)
    damaged = frozenset(store.damaged())
    return Keeper(store, datetime.datetime.now(datetime.UTC).date(), request.accept_changes, damaged)


def _fetch(source: Source, keeper: Keeper, request: UpdateRequest) -> None:
    keeper.store.source = source.text
    if source.is_file:
        fetch_file(source, keeper, request.since)
    else:
        hub = Hub(source, keeper)
        hub.fetch(hub.questions(_since(request, keeper), list(request.models)))
    if request.with_history:
        fetch_history(keeper)
    keeper.forget_missing()
    keeper.store.write_lock()


def _since(request: UpdateRequest, keeper: Keeper) -> datetime.date:
    return request.since or season_start(season_of(keeper.today) - SEASONS_BACK)


def _print_plan(source: Source, keeper: Keeper, request: UpdateRequest) -> None:
    print(f"into {nearest(keeper.store.folder)}")
    if source.is_file:
        print(f"would read {source.text}, and keep each vintage in it that is new")
    else:
        hub = Hub(source, keeper)
        questions = hub.questions(_since(request, keeper), list(request.models))
        known = [each for each in questions if each.name in keeper.store.entries]
        new = [each for each in questions if each not in known]
        for _, found in groupby(new, key=lambda each: each.path.rpartition("/")[0]):
            first, *others = found
            print(f"would fetch {source.address(first.path)}, if it is there")
            if others:
                print(f"  and those of {counted(len(others), 'later Saturday')}, to {others[-1].date}")
        if known:
            print(f"would ask whether {counted(len(known), 'file')} changed")
    if request.with_history and HISTORY_NAME not in keeper.store.entries:
        print(f"would fetch {HISTORY}")


def _show(keeper: Keeper, request: UpdateRequest) -> None:
    """Print what there is now, and the next command."""
    vintages, counts = keeper.store.vintages(), keeper.counts
    newest = vintages[-1][1] if vintages else None
    rows = {
        "newest vintage": f"as of {newest.as_of}" if newest else "none",
        "its newest week": newest.newest_week if newest else "",
        "vintages": str(len(vintages)),
        "new files": str(counts["new"]),
        "changed": _changed(counts["replaced"], counts["changed"]),
        "unchanged": str(counts["unchanged"]),
        "Saturdays without a file": str(counts["missing "]),
        **{f"dates without {model}": str(counts[f"missing {model}"]) for model in request.models},
        "refused": str(len(keeper.problems) + len(keeper.damaged)),
    }
    shown = Table(title=f"target data in {cell(nearest(keeper.store.folder))}", show_header=False)
    for name, value in rows.items():
        shown.add_row(name, cell(value))
    console().print(shown)
    if lonely := [model for model in request.models if not _has_forecasts(keeper.store, model)]:
        print(f"no forecasts of {listed(lonely)}: is the name right?", file=sys.stderr)
    if newest:
        command = _next_command(keeper.store.folder, request.exp_id)
        week = datetime.date.fromisoformat(newest.newest_week)
        if (weeks := (datetime.date.fromisoformat(newest.as_of) - week) // WEEK) >= OLD_WEEKS:
            print(
                f"the newest week ended {weeks} weeks before: the source has no newer data", file=sys.stderr
            )
            command += f" --reference-date {week + WEEK}"
        print(f"next: {command}", flush=True)


def _changed(replaced: int, left: int) -> str:
    return f"{replaced} replaced, {left} left as they were" if left else str(replaced)


def _has_forecasts(store: Store, model: str) -> bool:
    return any(name.startswith(f"model-output/{model}/") for name in store.entries)


def _next_command(folder: Path, exp_id: str) -> str:
    command = f"invoke run --exp-id {exp_id}"
    experiments = folder.parents[1] / "experiments"
    if (experiments / exp_id).is_dir():
        return command
    return f"put an experiment {exp_id} into {nearest(experiments)}, then {command}"


def _date(text: str) -> datetime.date | None:
    if not text:
        return None
    try:
        day = datetime.date.fromisoformat(text)
    except ValueError:
        raise UserError(f"--since {text:.40}: a date is needed, such as 2024-08-01") from None
    if day > datetime.datetime.now(datetime.UTC).date():
        raise UserError(f"--since {day}: lies in the future")
    return day
