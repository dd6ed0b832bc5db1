"""What an operator reads before a deployment, and after it."""

from collections.abc import Sequence

from ops.gpu.lane import Lane
from ops.gpu.names import BUCKETS, SERVICES
from ops.gpu.rates import HOUR_SECONDS, rate_table, usd_per_second
from ops.gpu.sizes import NO_GPU, size_of
from ops.gpu.steps import Step
from ops.gpu.workflow import service_urls
from ops.terminal import counted

NO_EXPERIMENT = (
    "note: no experiment is deployed: a .tar.gz brings its own, a .csv is refused until "
    "`invoke gpu-deploy --exp-id EXPERIMENT`"
)


def before(lane: Lane, steps: Sequence[Step], missing_images: Sequence[str] = ()) -> str:
    """Return what would be done: for a new lane its names and costs, for another each change."""
    cloud, names = lane.cloud, lane.names
    changes = [change for step in steps for change in step.changes]
    if not lane.found.services and not lane.found.workflows:
        return "\n".join(
            [
                f"deploy the GPU lane to project {cloud.project}, region {cloud.region}:",
                f"  names     {names.stem}-*: {counted(len(SERVICES), 'service')}, "
                f"{counted(len(BUCKETS), 'bucket')}, workflow, trigger, accounts, alerts, dashboard",
                f"  images    {names.images}" + _to_build(missing_images),
                *_costs(lane),
                f"  {counted(len(changes), 'change')}; `invoke gpu-destroy` removes all of it",
            ]
        )
    return "\n".join([f"change {names.stem} in {cloud.project}:", *(f"  {each}" for each in changes)])


def _to_build(missing: Sequence[str]) -> str:
    return f"; {', '.join(missing)} are built first, which takes minutes" if missing else ""


def _costs(lane: Lane) -> list[str]:
    settings = lane.cloud.settings
    hour = usd_per_second(settings)["inference"] * HOUR_SECONDS
    has_gpu = settings.gpu_type != NO_GPU
    until = "until 10 to 15 minutes after its last request" if has_gpu else "while it works on requests"
    kept, instances = settings.min_instances, size_of(settings, "inference").instances
    idle = f"{kept * hour:.2f} USD an hour for {counted(kept, 'instance')}" if kept else "nothing but storage"
    return [
        f"  idle      {idle}",
        f"  in use    {hour:.2f} USD an hour for each of {instances} instances at most "
        f"({settings.gpu_type if has_gpu else 'no GPU'}), {until} (prices of {rate_table()['as_of']})",
    ]


def after(lane: Lane, has_experiment: bool) -> str:
    """Return what was deployed, and the next command."""
    names, urls = lane.names, service_urls(lane)
    lines = {
        "prefix": names.stem,
        **{f"bucket {bucket}": f"gs://{names.bucket(bucket)}" for bucket in BUCKETS},
        **{f"service {name}": urls[name] for name in SERVICES},
        "workflow": f"{names.workflow}, in {names.region} of {names.project}",
        "results": f"gs://{names.bucket('output')}/results/",
        "next": f"gcloud storage cp FILE gs://{names.bucket('input')}/",
    }
    shown = [f"{name:<20}{value}" for name, value in lines.items()]
    return "\n".join([*shown, *([] if has_experiment else [NO_EXPERIMENT])])
