"""The kernel of a GPU, compiled for this processor, gives the bytes of the processor's own kernel."""

import numpy as np
import pytest

from modeling.engine.arrays import Batch, Look, Model, Out
from modeling.engine.compiled import compiled
from modeling.engine.cuda import device
from modeling.engine.cuda.arrays import new_gpu_lanes
from modeling.engine.cuda.lane import run_lane
from modeling.engine.plan import compile_plan
from tests.engine_models import CASES
from tests.gpu_cases import asked_of, digest


@compiled
def launch(most_steps, model, batch, look, lanes, out, counters, key, is_mean):
    """Do one launch: what the threads of a GPU do at the same time."""
    for w in range(np.uint64(lanes.step.size)):
        run_lane(w, most_steps, model, batch, look, lanes, out, counters, key, is_mean)


class OnThisProcessor:
    """Launches the kernel on the processor, like GpuEngine on a GPU, in few lanes and few steps at a time."""

    def __init__(self, lanes: int = 13, steps: int = 17):
        self.lanes, self.steps = lanes, steps

    def run(self, model: Model, batch: Batch, look: Look, out: Out, key: int, is_mean: bool) -> None:
        lanes, counters = new_gpu_lanes(self.lanes, model, batch, look), np.zeros(2, dtype=np.int64)
        while counters[1] < np.count_nonzero(batch.start >= 0):
            arguments = model, batch, look, lanes, out, counters, np.uint64(key), is_mean
            launch(np.uint64(self.steps), *arguments)


@pytest.fixture
def on_gpu_code(monkeypatch):
    """Let "cuda" be the GPU's kernel on this processor."""
    monkeypatch.setattr(device, "_gpu_engine", OnThisProcessor)


@pytest.mark.parametrize("name", CASES)
def test_every_model_has_the_same_bytes(name, on_gpu_code):
    for asked in asked_of(name):
        plan = asked.compiled()

        expected = plan.simulate(**asked.arguments, device="cpu")
        found = plan.simulate(**asked.arguments, device="cuda")

        assert digest(found) == digest(expected), asked.name
        if "bound" in asked.arguments:
            assert 0.2 < expected.stopped.mean() < 0.9


@pytest.mark.parametrize(("lanes", "steps"), [(1, 1), (5, 1_000), (500, 3)])
def test_neither_lanes_nor_the_steps_of_a_launch_change_a_byte(lanes, steps, monkeypatch):
    monkeypatch.setattr(device, "_gpu_engine", lambda: OnThisProcessor(lanes, steps))
    asked = next(asked_of("vaccination", particles=40))

    found = asked.compiled().simulate(**asked.arguments, device="cuda")

    assert digest(found) == digest(asked.compiled().simulate(**asked.arguments))


def test_a_process_simulates_on_the_device_that_it_has_chosen(on_gpu_code, monkeypatch):
    asked = next(asked_of("SIR", particles=3))
    plan = compile_plan(asked.plan, asked.first_day, asked.last_day)
    used = []
    monkeypatch.setattr(OnThisProcessor, "run", lambda *arguments: used.append(arguments))

    plan.simulate(**asked.arguments)
    device.use_device("cuda")
    try:
        plan.simulate(**asked.arguments)
    finally:
        device.use_device("cpu")

    assert len(used) == 1
    assert device.device_in_use() == "cpu"
