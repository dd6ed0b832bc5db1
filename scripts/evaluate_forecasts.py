"""Forecast past reference dates as they would have been made then, and score the forecasts.

    python scripts/evaluate_forecasts.py --exp-id flusight --from 2024-11-23 --to 2025-05-31

Started by `invoke evaluate`, which has the same options. FORECAST_REPO_DIR has the experiment and the data;
everything is written below LOCAL_DATA_PATH/evaluations/<exp-id>/.
"""

import argparse
import logging
import os
import shlex
import signal
import sys
from pathlib import Path

from pipeline.failures import INTERRUPTED, UserError, exit_code_of
from pipeline.logs import start_logging

log = logging.getLogger("pipeline")
FOLDER = "evaluations"  # below LOCAL_DATA_PATH
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def main(words: list[str]) -> None:
    """Evaluate, and print the tables."""
    # before numpy is imported: the processes share the cores, and sums keep their order
    os.environ.update(dict.fromkeys(THREADS, "1"))
    from modeling.evaluation.evaluate import evaluate
    from modeling.evaluation.tables import terminal_text

    options = _options(words)
    request = _request(options)
    summary, methods = evaluate(request, _command(options), lambda line: print(line, flush=True))
    print(f"\n{terminal_text(summary, methods)}\n")
    print(f"page, charts, scores and hub files: {request.folder}")


def _options(words: list[str]) -> argparse.Namespace:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("--exp-id", required=True)
    parser.add_argument("--from", dest="first", default="")
    parser.add_argument("--to", dest="last", default="")
    parser.add_argument("--locations", default="")
    parser.add_argument("--method", default="")
    parser.add_argument("--history", default="")
    parser.add_argument("--observations", default="")
    parser.add_argument("--compare", action="append", default=[])
    parser.add_argument("--jobs", type=int, default=0)
    return parser.parse_args(words)


def _command(options: argparse.Namespace) -> str:
    """Return the command that repeats an evaluation; its page is the same whatever --jobs."""
    words = ["invoke", "evaluate", "--from", options.first, "--to", options.last, "--exp-id", options.exp_id]
    for name in ("method", "locations", "history", "observations"):
        words += [f"--{name}", getattr(options, name)] if getattr(options, name) else []
    return shlex.join([*words, *(word for path in options.compare for word in ("--compare", path))])


def _request(options: argparse.Namespace):
    from modeling.evaluation.request import Request, methods_of, names_of, span_of
    from modeling.run_names import EXP_ID_FORM, is_exp_id
    from modeling.threads import usable_cores

    if not is_exp_id(options.exp_id):
        raise UserError(f'--exp-id "{options.exp_id:.60}": {EXP_ID_FORM}')
    first, last = span_of(options.first, options.last)
    return Request(
        exp_id=options.exp_id,
        repository=_folder("FORECAST_REPO_DIR"),
        folder=_folder("LOCAL_DATA_PATH") / FOLDER / options.exp_id,
        first=first,
        last=last,
        methods=methods_of(options.method),
        populations=names_of(options.locations),
        history=Path(options.history) if options.history else None,
        compare=[Path(path) for path in options.compare],
        observations=Path(options.observations) if options.observations else None,
        jobs=options.jobs or usable_cores(),
    )


def _folder(name: str) -> Path:
    if not os.environ.get(name):
        raise UserError(f"{name} is not set; start this by `invoke evaluate`, or set it to a folder")
    return Path(os.environ[name])


def _until_stopped(words: list[str]) -> None:
    try:
        main(words)
    except KeyboardInterrupt:
        log.error("stopped; the dates that are done are kept, and the same command continues")
        sys.exit(INTERRUPTED)


def _interrupt(number: int, frame) -> None:
    signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _interrupt)  # what `invoke evaluate` sends after Ctrl-C
    start_logging("local", os.environ.get("LOG_LEVEL", ""), {"stage": "evaluate"})
    sys.exit(exit_code_of(lambda: _until_stopped(sys.argv[1:]), log))
