"""Whether the device's video decoder gives the right frames of the files on which it has failed."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

from benchmarks.gpu_steps.clips import SHORT, TALL, make
from benchmarks.gpu_steps.schedule import Row
from benchmarks.parts.measurement import reason, table
from video_gc.decode.open import open_video
from video_gc.subprocess_call import call_in_new_process

LIMIT = 12.0
"""Grey levels, mean of a row of pixels. Another conversion of colours makes fewer; a shift of these
pictures by the difference of the two heights makes 30 and more."""
KEPT = 20
"""torchcodec's own capacity of its cache of hardware decoders."""
TURNS = ((f"{TALL} rows", f"{SHORT} rows"), (f"{SHORT} rows", f"{TALL} rows"))
PATIENCE = 20.0
"""Seconds for a pair of files, so that one that hangs leaves time for the others."""
HARDWARE = {"plain": True, "rotated": True, "edit list": True, "FFV1": False}
"""Whether the GPU has to decode the file itself; others may do either."""


def measure(device: str, _deadline: float) -> Iterator[Row]:
    """The second of two files in a fresh process; then each kind of file with our reader, here."""
    with TemporaryDirectory() as folder:
        files = make(Path(folder))
        for capacity in (0, KEPT):
            for first, second in TURNS:
                what = f"{second} after {first}, {capacity} decoders kept"
                row = {"what": what, "capacity": capacity}
                pair = files[first], files[second]
                try:
                    yield row | call_in_new_process(
                        second_file, *pair, device, capacity, limit=PATIENCE
                    )
                except Exception as error:  # any error is a finding
                    yield row | {"error": reason(error)}
        for name, path in files.items():
            try:
                yield {"what": name, **whole_file(path, device, HARDWARE.get(name))}
            except Exception as error:  # any error is a finding
                yield {"what": name, "error": reason(error)}


def second_file(first: Path, second: Path, device: str, capacity: int) -> dict[str, Any]:
    """Decode two files with torchcodec alone; the errors of the second one.

    kept: hardware decoders that waited for it; a capacity of 0 has to leave none. taken: how many
    of them it took, so that right frames prove something.
    Raises what torchcodec raises.
    """
    from torchcodec.decoders import VideoDecoder, set_nvdec_cache_capacity

    set_nvdec_cache_capacity(capacity)
    VideoDecoder(str(first), device=device)[:].cpu()  # and its hardware decoder is free again
    kept = hardware_decoders_kept(device)
    decoder = VideoDecoder(str(second), device=device, dimension_order="NHWC")
    found = compared(decoder[:].cpu().numpy(), second)
    taken = kept - hardware_decoders_kept(device)  # while `decoder` holds its own
    right = found["right"] and (capacity > 0 or kept == 0)
    return found | {"kept": kept, "taken": taken, "right": right}


def hardware_decoders_kept(device: str) -> int:
    """How many torchcodec's cache has; 0 on a CPU."""
    if device == "cpu":
        return 0
    size: int = torch.ops.torchcodec_ns._get_nvdec_cache_size(torch.device(device).index or 0)
    return size


def whole_file(path: Path, device: str, hardware: bool | None) -> dict[str, Any]:
    """All frames by our reader. hardware: whether a GPU has to decode them itself."""
    with open_video(path, "torchcodec", device) as reader:
        found = compared(reader.read(range(len(reader))), path)
        fell_back = bool(getattr(reader, "fell_back", False))
    as_wanted = device == "cpu" or hardware is None or hardware != fell_back
    return found | {"fell_back": fell_back, "right": found["right"] and as_wanted}


def compared(frames: np.ndarray, path: Path) -> dict[str, Any]:
    """The largest difference of a row of pixels from PyAV's frames (T, H, W, 3), and the number of
    frames that have such a row."""
    with open_video(path, "pyav") as reader:
        right = reader.read(range(len(reader)))
    if frames.shape != right.shape:
        return {"right": False, "why": f"{frames.shape} instead of {right.shape}"}
    rows = np.abs(frames.astype(np.int16) - right).mean(axis=(2, 3))  # (T, H)
    wrong = int((rows.max(axis=1) > LIMIT).sum())
    return {"largest": round(float(rows.max()), 2), "frames": wrong, "right": not wrong}


def lines(rows: Sequence[Row]) -> list[str]:
    """Markdown, and whether decoders may be kept again."""
    heads = ["file", "kept", "taken", "decoded by", "largest row error", "wrong frames", "right"]
    files = [row for row in rows if "fell_back" in row]
    said = f"{sum(row['fell_back'] for row in files)} of {len(files)} files were left to the CPU."
    return [*table(heads, [_cells(row) for row in rows]), "", f"{said} {verdict(rows)}"]


def verdict(rows: Sequence[Row]) -> str:
    """What the pairs of files say about torchcodec's cache."""
    pairs = [row for row in rows if row.get("capacity") == KEPT]
    if len(pairs) < len(TURNS) or not all(row.get("taken") == 1 for row in pairs):
        return "No hardware decoder was used twice: `NVDEC_CACHE` stays 0."
    if all(row["right"] for row in pairs):
        return ("torchcodec #1704 is over here: `NVDEC_CACHE` in decode/torchcodec.py may be "
                f"{KEPT}, with this torchcodec as the lower bound in setup.cfg.")  # fmt: skip
    return "torchcodec #1704 is still there: `NVDEC_CACHE` stays 0."


def _cells(row: Row) -> list[str]:
    if "error" in row:
        return [row["what"], "", "", "", f"**{row['error']}**", "", "**no**"]
    kept, taken, frames = (str(row.get(name, "")) for name in ("kept", "taken", "frames"))
    by = {True: "the CPU", False: "the device"}.get(row.get("fell_back", ""), "")
    largest, right = row.get("why") or str(row["largest"]), "yes" if row["right"] else "**no**"
    return [row["what"], kept, taken, by, largest, frames, right]
