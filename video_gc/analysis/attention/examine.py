"""A checkpoint and videos → statistics, pictures and a page on where its context blocks look."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from video_gc.analysis.attention.cam import INSTALL, check_captum, has_captum
from video_gc.analysis.attention.clips import Clips, find_clips, first_of_each_class
from video_gc.analysis.attention.examination import Examination, Picture
from video_gc.analysis.attention.losses import measure_losses
from video_gc.analysis.attention.page import write_page
from video_gc.analysis.attention.panels import (
    activation_panel,
    block_panels,
    drawn_blocks,
    picture_rows,
)
from video_gc.analysis.attention.pictures import Drawing, Panel, draw, save
from video_gc.analysis.attention.queries import SCALES, Query
from video_gc.analysis.attention.study import BlockStudy, study
from video_gc.analysis.attention.words import answer, footing, reading
from video_gc.data.index import DataError
from video_gc.data.reading import Decoding
from video_gc.decode.reader import MAX_PIXELS, decode_error
from video_gc.deploy.device import pick_device
from video_gc.escape import readable
from video_gc.evaluate.test_videos import kept_videos
from video_gc.outputs import Outputs, write_output
from video_gc.progress import say, track
from video_gc.train.checkpoint import default_output, load_network
from video_gc.train.run_checkpoint import checkpoint_in


def examine(
    checkpoint: Path,
    videos: Sequence[Path] = (),
    *,
    queries: Sequence[Query],
    root: Path | None = None,
    count: int | None = 64,
    blocks: Sequence[str] = (),
    pictures: int = 2,
    scale: str = "video",
    convert: bool = True,
    reduction: int = 4,
    cam: bool | None = None,
    positions: int = 256,
    seed: int = 0,
    out: Path | None = None,
    device: str | None = None,
) -> Examination:
    """Look at `count` of `videos` (all with None; the run's test videos without any) and write.

    blocks: patterns of those that are drawn; statistics are of all. cam: draw class activation;
    None does where captum is installed. Writes attention.html, attention.json, and an MP4 and a
    WebP for each of `pictures` videos into `out` (RUN/attention).

    Raises FileNotFoundError, ValueError for options or a checkpoint, DataError for data or a
    network without attention, ImportError for `cam` without captum.
    """
    if scale not in SCALES:
        raise ValueError(f"scale ({scale!r}) must be one of {', '.join(SCALES)}")
    if cam:
        check_captum()
    where = pick_device(device)
    checkpoint = checkpoint_in(checkpoint)
    model, contents = load_network(checkpoint)
    names = drawn_blocks(model, blocks)
    model.to(where)
    index, listed = find_clips(checkpoint, contents, videos, root=root, count=count, seed=seed)
    data = contents.config.get("data", {})
    clips = Clips(
        index,
        contents.clip,
        contents.normalisation,
        where,
        Decoding(data.get("decoder", "auto"), max_pixels=data.get("max_pixels", MAX_PIXELS)),
        int(data.get("workers", 0)),
    )
    clips.decoding.check_decoder(index.path(0))
    out = out or default_output(checkpoint, "attention")
    Outputs(out).check(["attention.html", "attention.json"])
    found = _study(model, clips, positions, seed)
    losses = measure_losses(model, clips, reduction=reduction, seed=seed) if convert else None
    if cam is None and not has_captum() and pictures:
        say(f"No class activation beside the maps: {INSTALL}")
    with_cam = has_captum() if cam is None else cam
    sound = [row for row in range(len(index)) if row not in clips.damaged]
    rows = first_of_each_class(index, pictures, sound)
    drawn = _draw(model, clips, rows, names, queries, with_cam, scale, contents.names, out)
    looked = len(index) - len(clips.damaged)
    done = Examination(
        str(checkpoint),
        ", ".join(map(str, videos)) or kept_videos(checkpoint),
        looked,
        listed,
        {trouble.path: trouble.reason for trouble in clips.damaged.values()},
        len(clips.short),
        seed,
        found,
        losses,
        [*answer(found), footing(looked, losses)],
        reading(found, losses, subset=len(index) < listed),
        drawn,
        [out / "attention.html", out / "attention.json"],
    )
    write_page(done, out / "attention.html", scale=scale)
    write_output(out / "attention.json", json.dumps(_plain(done), indent=1) + "\n")
    return done


def _study(model: nn.Module, clips: Clips, positions: int, seed: int) -> list[BlockStudy]:
    batches = (clip for clip, _ in clips.batches("Comparing attention"))
    try:
        return study(model, batches, positions=positions, seed=seed)
    except ValueError:
        if len(clips.damaged) < len(clips.index):
            raise
        first = next(iter(clips.damaged.values())).reason
        raise DataError(f"none of {len(clips.index)} videos could be read: {first}") from None


def _draw(
    model: nn.Module,
    clips: Clips,
    rows: Sequence[int],
    names: Sequence[str],
    queries: Sequence[Query],
    cam: bool,
    scale: str,
    classes: Sequence[str],
    out: Path,
) -> list[Picture]:
    """Draw some videos; the maps of all are held at once, since they may share a scale."""
    if not rows:
        return []
    shown: list[tuple[int, Any, list[Panel]]] = []
    for row in track(rows, "Attention of the drawn videos", len(rows)):
        try:
            view = clips.view(row)
        except Exception as error:  # whatever a file makes of the decoders
            say(f"Not drawn: {decode_error(clips.index.path(row), error)}", style="yellow")
            continue
        clip = clips.prepared(view)
        panels = block_panels(model, clip, names, queries)
        if cam:
            panels.append(activation_panel(model, clip, classes))
        shown.append((row, view, panels))
    each = [[panel.peak() for panel in panels] for _, _, panels in shown]
    common = np.max(each, axis=0).tolist() if each else []
    pictures, outputs = [], Outputs(out)
    for (row, view, panels), own in track(
        list(zip(shown, each, strict=True)), "Drawing", len(shown)
    ):
        lines = picture_rows(model, names, queries, view.times.tolist())
        peaks = [
            together if scale == "common" and panel.unit == "uniform" else peak
            for panel, peak, together in zip(panels, own, common, strict=True)
        ]
        name = clips.name(row)
        drawing = Drawing(name, view, lines.names, lines.queries, panels, peaks, scale)
        stem = readable("_".join(name.split("/")).rsplit(".", 1)[0])
        file = outputs.free(stem, ".mp4", ".webp")
        video, animation = save(draw(drawing), view.times, out / file)
        pictures.append(Picture(name, video, animation))
    return pictures


def _plain(value: Any) -> Any:
    """For JSON: dataclasses as dictionaries, paths as text."""
    if hasattr(value, "__dataclass_fields__"):
        value = asdict(value)
    if isinstance(value, dict):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return str(value) if isinstance(value, Path) else value
