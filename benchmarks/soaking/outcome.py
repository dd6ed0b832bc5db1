"""Files and resources of a run, and the checks of a run with faults against one without."""

import hashlib
import json
from collections import Counter
from dataclasses import dataclass, field

from ops.names import NO_TABLES
from soaking.disturbances import KILLED, TEMPORARY_FAULT
from soaking.pipeline_cloud import PipelineCloud

Digests = dict[str, str]  # sha256 by name


@dataclass
class Outcome:
    """One run; names of files are relative to the run."""

    seconds: float = 0.0
    cpu_seconds: float = 0.0
    executions: Counter[str] = field(default_factory=Counter)  # by outcome
    endings: Counter[int] = field(default_factory=Counter)  # processes of stage B, by exit code
    ordered: Counter[int] = field(default_factory=Counter)  # those that were certain, by exit code
    output_endings: Counter[int] = field(default_factory=Counter)  # processes of stage C, by exit code
    retries: int = 0  # attempts after the first, all stages
    struck: Counter[str] = field(default_factory=Counter)  # requests with a fault, by kind of fault
    unstruck: list[str] = field(default_factory=list)  # faults that were certain and did not occur
    duplicates: Counter[int] = field(default_factory=Counter)  # tasks run a second time, by exit code
    duplicates_wanted: int = 1
    files: Digests = field(default_factory=dict)  # all but the outputs
    outputs: list[Digests] = field(default_factory=list)  # one for each finished folder
    wrong: list[str] = field(default_factory=list)  # what must never happen

    def read_bucket(self, pipeline: PipelineCloud, run: str) -> None:
        """Read the digest of every file below `run`, and of the tables of each finished output folder."""
        names = [name.removeprefix(run) for name in pipeline.objects("")]
        for name in names:
            if not name.startswith("outputs/"):
                self.files[name] = _digest(pipeline.content(run + name))
            elif name.endswith("/files.json"):
                folder = run + name.removesuffix("files.json")
                listed = (each["name"] for each in json.loads(pipeline.content(run + name)))
                alike = (each for each in listed if each not in NO_TABLES)
                self.outputs.append({each: _digest(pipeline.content(folder + each)) for each in alike})

    def below(self, prefix: str) -> Digests:
        return {name: digest for name, digest in self.files.items() if name.startswith(prefix)}


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def check(peer: Outcome, soak: Outcome, tasks: int) -> dict[str, str]:
    """Return the problem of each check; an empty string if it passed."""
    results, expected = soak.below("runner-artifacts/"), peer.below("runner-artifacts/")
    inputs = "builder-artifacts/input"  # and the list of their digests
    succeeded = soak.executions["succeeded"]
    return {
        f"{tasks:,} results, none lost, none extra": (
            ""
            if len(results) == len(expected) == tasks
            else f"{len(results)}, and {len(expected)} of the peer"
        ),
        "inputs equal, byte by byte": _differing(soak.below(inputs), peer.below(inputs)),
        "results equal, byte by byte": _differing(results, expected),
        "outputs equal, byte by byte": _outputs(peer, soak),
        "outputs written once": _too_few_or_many(peer) or _too_few_or_many(soak),
        "one summary a task": _differing(_names(soak, "summaries/"), _names(peer, "summaries/")),
        "nothing else in the bucket": _differing(_others(soak), _others(peer)),
        "no claim left": "execution.json" if "execution.json" in soak.files else "",
        "one execution succeeded": "" if succeeded == 1 else str(succeeded),
        "nothing still runs, nothing unexpected": "; ".join([*peer.wrong, *soak.wrong]),
        # a soak without faults would show nothing
        "every certain fault occurred": "; ".join(soak.unstruck),
        "tasks killed and lost as ordered": _not_ended(soak),
        "tasks run a second time": (
            ""
            if soak.duplicates.total() >= soak.duplicates_wanted
            else f"{soak.duplicates.total()} of {soak.duplicates_wanted}"
        ),
    }


def _names(outcome: Outcome, prefix: str) -> Digests:
    """Return the names without digests, to compare only them."""
    return dict.fromkeys(outcome.below(prefix), "")


def _others(outcome: Outcome) -> Digests:
    """Return the names of all other files; each resume writes a pending file, so those are left out."""
    known = ("runner-artifacts/", "summaries/", "builder-artifacts/input", "builder-artifacts/pending-")
    return dict.fromkeys((name for name in outcome.files if not name.startswith(known)), "")


def _outputs(peer: Outcome, soak: Outcome) -> str:
    if not (peer.outputs and soak.outputs):
        return f"{len(soak.outputs)} finished, and {len(peer.outputs)} of the peer"
    return "; ".join(filter(None, (_differing(each, peer.outputs[0]) for each in soak.outputs)))


def _too_few_or_many(outcome: Outcome) -> str:
    """Return what is wrong with the number of finished folders, given the processes of stage C.

    A process that succeeded leaves one. One that ended with a temporary fault leaves at most one: the fault
    may come after its outputs. One whose machine was lost leaves none, because that happens early.
    """
    least = outcome.output_endings[0]
    most = least + outcome.output_endings[TEMPORARY_FAULT]
    folders = len(outcome.outputs)
    return "" if 1 <= least <= folders <= most else f"{folders} finished folders instead of {least} to {most}"


def _not_ended(soak: Outcome) -> str:
    """Return the exit codes that too few tasks ended with; every soak kills at least one task."""
    wanted = soak.ordered | Counter({KILLED: 1})
    short = {code: number for code, number in wanted.items() if soak.endings[code] < number}
    return "; ".join(f"exit code {code}: {soak.endings[code]} of {number}" for code, number in short.items())


def _differing(found: Digests, expected: Digests) -> str:
    names = sorted(name for name in found.keys() | expected.keys() if found.get(name) != expected.get(name))
    return f"{len(names)} differ: {', '.join(names[:5])}" if names else ""
