"""The device, its driver, the versions, and what it reaches at best."""

import subprocess
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from benchmarks.gpu_steps.clips import moving
from benchmarks.gpu_steps.rates import copy_rate, product_rates
from benchmarks.gpu_steps.schedule import Row
from benchmarks.parts.measurement import reason, table
from video_gc.decode.open import open_video
from video_gc.decode.write import write_video


def measure(device: str, _deadline: float) -> Iterator[Row]:
    """Each fact as {"what", "value"}; `error` where it cannot be had."""
    where = torch.device(device)
    asked: dict[str, Callable[[], object]] = {
        "torch": lambda: torch.__version__,
        "CUDA of torch": lambda: torch.version.cuda or "none",
        "cuDNN": lambda: torch.backends.cudnn.version() or "none",
        "Triton": lambda: version_of("triton"),
        "torchcodec": lambda: version_of("torchcodec"),
        "PyAV": lambda: version_of("av"),
    }
    if where.type == "cuda":
        about = torch.cuda.get_device_properties(where)
        asked |= {
            "device": lambda: about.name,
            "memory, GiB": lambda: round(about.total_memory / 2**30, 1),
            "multiprocessors": lambda: about.multi_processor_count,
            "compute capability": lambda: f"{about.major}.{about.minor}",
            "driver": lambda: ask_driver("driver_version"),
            "clocks, MHz": lambda: ask_driver("clocks.sm,clocks.mem"),
        }
    asked["torchcodec decodes on it"] = lambda: decodes(device)
    for what, ask in asked.items():
        yield fact(what, ask)
    for name, rate in product_rates(where).items():
        yield {"what": f"product in {name}, TFLOP/s", "value": round(rate / 1e12, 2)}
    yield {"what": "copy, read + written, GB/s", "value": round(copy_rate(where) / 1e9, 1)}


def fact(what: str, ask: Callable[[], object]) -> Row:
    """The answer, or why there is none."""
    try:
        return {"what": what, "value": ask()}
    except Exception as error:  # any error is a finding
        return {"what": what, "error": reason(error)}


def version_of(library: str) -> str:
    """Its version; "not installed" without it."""
    try:
        return version(library)
    except PackageNotFoundError:
        return "not installed"


def ask_driver(field: str) -> str:
    """A field of nvidia-smi. Raises OSError, CalledProcessError."""
    command = ["nvidia-smi", f"--query-gpu={field}", "--format=csv,noheader"]
    return subprocess.check_output(command, text=True, timeout=20).strip()


def decodes(device: str) -> str:
    """ "yes", or that the CPU did it. Raises what opening and decoding raise."""
    with TemporaryDirectory() as folder:
        path = write_video(Path(folder, "clip.mp4"), moving(16, 256, 256))
        with open_video(path, "torchcodec", device) as reader:
            reader.read([3])
            return "no, the CPU does" if getattr(reader, "fell_back", False) else "yes"


def lines(rows: Sequence[Row]) -> list[str]:
    """Markdown."""
    cells = [[row["what"], str(row.get("value", f"**{row.get('error')}**"))] for row in rows]
    return table(["", "found"], cells)
