"""`invoke cost --lane gpu`: what a run of the GPU lane costs with these settings, and what most of it is for.

An instance with a GPU is billed from its start to its end, so also while it waits for a next request. That
time is most of the price, and each further instance has one of its own.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from rich.table import Table

from ops.cloud.prices import HOURS_A_MONTH, prices
from ops.gpu.rates import HOUR_SECONDS, rate_table, usd_per_second
from ops.gpu.sizes import NO_GPU
from ops.settings import Settings
from ops.terminal import console, counted

SIZES = {"nvidia-l4": (4, "16Gi"), "nvidia-rtx-pro-6000": (20, "80Gi")}  # the smallest with each GPU
CENT = 0.01


@dataclass(frozen=True)
class Case:
    """A run: its instances of inference, and the seconds that each starts and works."""

    title: str
    settings: Settings
    instances: int
    seconds: float

    def usd(self, idle_minutes: float) -> float:
        """Return the price of the run if an instance stops some minutes after its last request."""
        idle_seconds = 0 if self.settings.gpu_type == NO_GPU else 60 * idle_minutes
        billed = self.instances * (self.seconds + idle_seconds)
        return billed * usd_per_second(self.settings)["inference"]


def show_cost(settings: Settings) -> None:
    """Print the price of a run in several cases, with the date of the prices and what is not in them."""
    table = Table(title=_title(settings), box=None, header_style="bold", title_justify="left")
    table.add_column("a run")
    idle = _assumed()["idle_minutes"]
    columns = ("instances", "start and work", *(f"{minutes} min idle" for minutes in idle))
    for column in columns:
        table.add_column(column, justify="right")
    for case in cases(settings):
        usd = [_usd(case.usd(minutes)) for minutes in idle]
        table.add_row(case.title, str(case.instances), f"{case.seconds:g} s", *usd)
    rest = _usd(rest_usd(settings))
    table.add_row("preprocess, postprocess, workflow", "", "", *[rest] * len(idle))
    console().print(table)
    _print_basis(settings)


def cases(settings: Settings) -> Iterator[Case]:
    """Yield the cases of the table: with the settings' own GPU, and with the other."""
    work = _assumed()["work"]
    for each in work:
        yield Case(each["title"], settings, each["instances"], each["seconds"])
    for gpu, (cpu, memory) in SIZES.items():
        if gpu != settings.gpu_type:
            other = settings.model_copy(update={"gpu_type": gpu, "gpu_cpu": cpu, "gpu_memory": memory})
            yield Case(f"the first on {gpu}", other, work[0]["instances"], work[0]["seconds"])


def rest_usd(settings: Settings) -> float:
    """Return the price of the services without a GPU and of the workflow's steps."""
    assumed, a_second = _assumed(), usd_per_second(settings)
    services = sum(a_second[name] * seconds for name, seconds in assumed["service_seconds"].items())
    return services + assumed["workflow_steps"] * assumed["workflow_step_usd"]


def _title(settings: Settings) -> str:
    gpu = "no GPU" if settings.gpu_type == NO_GPU else settings.gpu_type
    size = f"{settings.gpu_cpu} CPUs, {settings.gpu_memory.removesuffix('i')}iB"
    return f"a run of the GPU lane on {gpu}, {size}: an estimate, in US dollars"


def _print_basis(settings: Settings) -> None:
    """Print the price of an instance, of instances that are kept, the date, and what is left out."""
    hour = usd_per_second(settings)["inference"] * HOUR_SECONDS
    has_gpu = settings.gpu_type != NO_GPU
    when = "from its start to its end" if has_gpu else "while it works on requests"
    print(f"an instance ${hour / HOUR_SECONDS:.7f} a second, ${hour:.2f} an hour, {when}")
    if kept := settings.min_instances:
        price = f"${kept * hour:.2f} an hour, ${kept * hour * HOURS_A_MONTH:,.0f} a month"
        print(f"kept        {counted(kept, 'instance')} (MIN_INSTANCES) without any run: {price}")
    longest, work = max(_assumed()["idle_minutes"]), next(cases(settings))
    if has_gpu:
        share = 1 - work.seconds / (work.seconds + 60 * longest)
        print(
            f"idle time   {share:.0%} of the first run with {longest} min; each further instance has its own"
        )
    table = rate_table()
    where = "" if settings.region == table["region"] else f"; {settings.region} may have others"
    print(f"prices      of {table['as_of']} for {table['region']}{where}: {table['source']}")
    items = {name: prices()["not_counted"][name] for name in _assumed()["not_counted"]}
    left_out = ", ".join(f"{name} (${each['usd']:.3g} a {each['unit']})" for name, each in items.items())
    print(f"left out    {left_out}; builds of images, taxes, discounts and free amounts")


def _usd(usd: float) -> str:
    return f"{usd:.2f}" if usd >= CENT else "< 0.01"


def _assumed() -> dict:
    return prices()["cloud_run"]
