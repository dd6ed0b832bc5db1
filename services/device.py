"""The device that a service predicts on; NVIDIA's driver itself is asked, so no package is needed."""

import ctypes
from dataclasses import dataclass

from modeling.failures import UserError

_DRIVER = "libcuda.so.1"  # comes with the driver; in a container the platform brings it
_MOST_NAME_BYTES = 100


class NoGpu(Exception):
    """There is no GPU here; the message says why."""


@dataclass(frozen=True)
class Device:
    """`kind` is what models are loaded for, "cpu" or "cuda"; `name` is for people: "cuda: NVIDIA L4"."""

    kind: str
    name: str

    @property
    def is_gpu(self) -> bool:
        return self.kind == "cuda"


CPU = Device("cpu", "cpu")


def choose_device(wanted: str) -> Device:
    """Return the device for DEVICE=auto, cpu or cuda; auto is a GPU where there is one.

    Raises
    ------
    UserError
        DEVICE is cuda, and there is no GPU.
    """
    if wanted == "cpu":
        return CPU
    try:
        return Device("cuda", f"cuda: {gpu_name()}")
    except NoGpu as reason:
        if wanted == "cuda":
            raise UserError(
                f"DEVICE=cuda, but there is no GPU: {reason}; give the service one, or set DEVICE=auto or cpu"
            ) from None
        return CPU


def gpu_name() -> str:
    """Return the name of the first GPU.

    Raises
    ------
    NoGpu
    """
    try:
        driver = ctypes.CDLL(_DRIVER)
    except OSError:
        raise NoGpu(f"no NVIDIA driver is installed ({_DRIVER} is missing)") from None
    device, name = ctypes.c_int(), ctypes.create_string_buffer(_MOST_NAME_BYTES)
    for function, arguments in (
        ("cuInit", (0,)),
        ("cuDeviceGet", (ctypes.byref(device), 0)),
        ("cuDeviceGetName", (name, _MOST_NAME_BYTES, device)),
    ):
        if code := getattr(driver, function)(*arguments):
            raise NoGpu(f"{function} of the NVIDIA driver answers with error {code}")
    return name.value.decode("utf-8", "replace")
