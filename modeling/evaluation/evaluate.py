"""The whole evaluation: read, forecast every date, score, compare, and write tables, charts and the page."""

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from modeling.build.surveillance import Vintages
from modeling.evaluation import page, tables
from modeling.evaluation.comparison import MeanScores, Peers, read_peers
from modeling.evaluation.hub_files import Forecasts
from modeling.evaluation.inputs import Inputs, gap_notes, read_inputs
from modeling.evaluation.processes import in_parallel
from modeling.evaluation.request import BASELINE_METHOD, Request, read_observations
from modeling.evaluation.scores import Observations, Scores, score
from modeling.evaluation.summary import Summary, summarised
from modeling.evaluation.sweep import Job, Made, make, observations_by_week
from modeling.failures import UserError, listed
from modeling.hubs import hub_names

HUB_FILES = "data/flusight/model-output"  # in the forecasting repository, as in the hub's

Say = Callable[[str], object]


def evaluate(request: Request, command: str, say: Say) -> tuple[Summary, list[str]]:
    """Evaluate methods over past reference dates, and write everything into the folder.

    Returns the summary, and the methods that were asked for.

    Parameters
    ----------
    command : str
        That was typed, for the page.
    say : callable
        Takes a line of progress.

    Raises
    ------
    UserError
        The experiment, the data or a file to compare with is wrong, or there is nothing to evaluate.
    """
    inputs = read_inputs(request)
    peers = _peers(request, inputs)
    observations = read_observations(request.observations) if request.observations else None
    made = _made(inputs.jobs, request.jobs, say)
    if observations is None:
        later = ((date, inputs.vintages.later(date)) for date in inputs.dates)
        observations = observations_by_week(later, inputs.locations)
    models = _scored(made, inputs, peers, observations)
    summary = summarised(models, BASELINE_METHOD)
    notes = [*gap_notes(inputs), *peers.notes, *_baseline_notes(summary, models)]
    about = page.About(
        exp_id=request.exp_id,
        first=str(request.first),
        last=str(request.last),
        methods=inputs.methods,
        observed=_observed(request, inputs.vintages),
        command=command,
        notes=notes,
    )
    _write(request.folder, about, summary, models)
    for note in notes:
        say(f"note: {note}")
    return summary, inputs.methods


def _made(jobs: list[Job], processes: int, say: Say) -> list[Made]:
    begun, made = time.monotonic(), list(in_parallel(make, jobs, processes))
    dates = f"{jobs[0].known.reference_date} to {jobs[-1].known.reference_date}"
    new = sum(each.is_new for each in made)
    say(
        f"{len(made)} forecasts of {dates}: {new} computed, {len(made) - new} kept, "
        f"{time.monotonic() - begun:.1f} s"
    )
    return made


def _peers(request: Request, inputs: Inputs) -> Peers:
    """Return the models to compare with: as asked for, or those of the forecasting repository."""
    paths, default = request.compare, request.repository / HUB_FILES
    if not paths and not default.is_dir():
        return Peers()
    taken, span = [*inputs.methods, BASELINE_METHOD], (request.first, request.last)
    return read_peers(
        paths or [default],
        span,
        taken,
        is_whole=inputs.is_whole,
        is_asked_for=bool(paths),
        jobs=request.jobs,
    )


def _scored(
    made: list[Made], inputs: Inputs, peers: Peers, observations: Observations
) -> dict[str, Scores | MeanScores]:
    """Return the scores by model: the methods, the other models, and the baseline method last.

    Raises
    ------
    UserError
        No week is observed, or another model has no forecast in common with the methods.
    """
    methods, locations = inputs.methods, set(inputs.locations)
    own = {}
    for method in dict.fromkeys([*methods, BASELINE_METHOD]):
        forecasts = Forecasts.joined([each.forecasts for each in made if each.method == method])
        own[method] = score(forecasts, observations)
    if not len(own[methods[0]]):
        raise UserError("none of the forecast weeks has been observed yet; there is nothing to score")
    scored = {name: score(_at(each, locations), observations) for name, each in peers.forecasts.items()}
    ready = {name: _at(each, locations) for name, each in peers.scores.items()}
    others: dict[str, Scores | MeanScores] = {**scored, **ready, **peers.means}
    first = own[methods[0]]
    keys = set(zip(first.dates.tolist(), first.horizons.tolist(), strict=True))
    for name, scores in list(others.items()):
        if keys & set(zip(scores.dates.tolist(), scores.horizons.tolist(), strict=True)):
            continue
        others.pop(name)
        peers.notes.append(f"{name} has no forecast of a date and location that are evaluated")
        if peers.is_asked_for:
            raise UserError(
                f"{name}: none of its forecasts is of a date and location that are evaluated; "
                "compare with another file"
            )
    baseline = {BASELINE_METHOD: own.pop(BASELINE_METHOD)} if BASELINE_METHOD not in methods else {}
    return {**own, **others, **baseline}


def _at(whole: Forecasts | Scores, locations: set[str]) -> Forecasts | Scores:
    """Return the forecasts or scores of some locations."""
    return whole.chosen(np.array([place in locations for place in whole.locations.tolist()], dtype=bool))


def _baseline_notes(summary: Summary, models: dict[str, Scores | MeanScores]) -> list[str]:
    """Return a note for each season in which forecasts of the baseline are missing, or it is our own."""
    notes = []
    for season, baseline in summary.baselines.items():
        if baseline == BASELINE_METHOD:
            notes.append(
                f"{season}: ratios are to {BASELINE_METHOD}, our own baseline; --compare takes the hub files "
                "of FluSight-baseline"
            )
        lacking = [
            week.key
            for week in summary.chosen(season, "week", model=next(iter(models)))
            if week.common < week.forecasts
        ]
        if lacking:
            notes.append(
                f"{season}: {baseline} lacks forecasts of {listed(lacking, 12)}; the ratios leave them out"
            )
    return notes


def _observed(request: Request, vintages: Vintages) -> str:
    if request.observations:
        return f"Forecasts are scored against the counts of {request.observations.name}."
    return (
        f"Forecasts are scored against the counts as known on {vintages.newest}, the newest vintage, whose "
        "last weeks may still be revised."
    )


def _write(folder: Path, about: page.About, summary: Summary, models: dict[str, Scores | MeanScores]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    tables.write_scores(folder / "scores.csv.gz", models)
    tables.write_summary(folder / "summary.csv", summary)
    page.write_charts(folder, summary, about.methods)
    page.write_evaluation(folder, about, summary, hub_names())
