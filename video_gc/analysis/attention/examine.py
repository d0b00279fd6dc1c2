"""A checkpoint and videos → statistics, pictures and a page about its context blocks' attention."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from video_gc.analysis.attention.drawing import Drawing, draw, save, share_scale
from video_gc.analysis.attention.findings import (
    CONVENTION,
    LIMITS,
    Findings,
    Picture,
    answer,
    footing,
    write_findings,
)
from video_gc.analysis.attention.maps import check_captum, has_captum
from video_gc.analysis.attention.panels import activation_panel, block_panels, drawn_blocks
from video_gc.analysis.attention.queries import Query
from video_gc.analysis.attention.replacements import measure_replacements
from video_gc.analysis.attention.study import BlockStudy, study
from video_gc.analysis.clips import Clips, find_clips
from video_gc.data.index import DataError
from video_gc.data.reading import Decoding
from video_gc.decode.reader import MAX_PIXELS, decode_error
from video_gc.deploy.device import pick_device
from video_gc.escape import readable
from video_gc.evaluate.tested_videos import classes_in_turn, kept_videos
from video_gc.extras import install_line
from video_gc.outputs import Outputs
from video_gc.progress import say, track
from video_gc.train.checkpoint import default_output, load_network
from video_gc.train.checkpoint_paths import checkpoint_in


@dataclass(frozen=True, kw_only=True)
class ExamineOptions:
    """What to examine and draw; the defaults are the tool's."""

    queries: Sequence[Query]
    """positions whose maps are drawn"""
    root: Path | None = None
    """folder for relative paths of a list"""
    count: int | None = 64
    """number of videos, spread over the classes; None: all"""
    blocks: Sequence[str] = ()
    """patterns of the blocks to draw; statistics cover all"""
    pictures: int = 2
    """videos to draw"""
    scale: str = "video"
    """video or common: colours end at the largest weight of each video, or of all drawn"""
    convert: bool = True
    """replace NL blocks by SNL and GC and measure the loss"""
    reduction: int = 4
    """C / rank of those GC blocks"""
    cam: bool | None = None
    """draw class activation; None: if captum is installed"""
    positions: int = 256
    """positions compared in each clip"""
    seed: int = 0
    """seed of random choices"""

    def __post_init__(self) -> None:
        if self.cam:
            check_captum()


def examine(
    checkpoint: Path,
    videos: Sequence[Path],
    options: ExamineOptions,
    *,
    out: Path | None = None,
    device: str | None = None,
) -> Findings:
    """Examine videos (by default the run's test videos) and write the results.

    Writes attention.html, attention.json, and an MP4 and a WebP for each drawn video into `out`
    (RUN/attention).

    Raises FileNotFoundError, ValueError for a checkpoint or a pattern of blocks, DataError for data
    or a network without attention.
    """
    where, seed = pick_device(device), options.seed
    checkpoint = checkpoint_in(checkpoint)
    model, contents = load_network(checkpoint)
    names = drawn_blocks(model, options.blocks)
    model.to(where)
    index, listed = find_clips(
        checkpoint, contents, videos, root=options.root, count=options.count, seed=seed
    )
    data = contents.config.get("data", {})
    decoding = Decoding(data.get("decoder", "auto"), max_pixels=data.get("max_pixels", MAX_PIXELS))
    decoding.check_decoder(index.path(0))
    clips = Clips(
        index, contents.clip, contents.normalisation, where, decoding, int(data.get("workers", 0))
    )
    out = out or default_output(checkpoint, "attention")
    Outputs(out).check(["attention.html", "attention.json"])
    blocks = _study(model, clips, options.positions, seed)
    losses = None
    if options.convert:
        losses = measure_replacements(model, clips, reduction=options.reduction, seed=seed)
    if options.cam is None and not has_captum() and options.pictures:
        say(f"No class activation beside the maps: {install_line('cam')}")
    drawings = _drawings(model, clips, names, options, contents.names)
    found = Findings(
        checkpoint=str(checkpoint),
        data=", ".join(map(str, videos)) or kept_videos(checkpoint),
        videos=len(clips.sound),
        listed=listed,
        damaged={problem.path: problem.reason for problem in clips.damaged.values()},
        short=len(clips.short),
        seed=seed,
        blocks=blocks,
        losses=losses,
        answer=[*answer(blocks), footing(len(clips.sound), losses)],
        reading=[CONVENTION, LIMITS] if any(block.attention for block in blocks) else [LIMITS],
        pictures=_save(drawings, out),
        files=[out / "attention.html", out / "attention.json"],
    )
    write_findings(found, out, scale=options.scale)
    return found


def _study(model: nn.Module, clips: Clips, positions: int, seed: int) -> list[BlockStudy]:
    batches = (clip for clip, _ in clips.batches("Comparing attention"))
    try:
        return study(model, batches, positions=positions, seed=seed)
    except ValueError:
        if clips.sound:
            raise
        first = next(iter(clips.damaged.values())).reason
        raise DataError(f"none of {len(clips.index)} videos could be read: {first}") from None


def _drawings(
    model: nn.Module,
    clips: Clips,
    names: Sequence[str],
    options: ExamineOptions,
    classes: Sequence[str],
) -> list[Drawing]:
    """The drawings of some videos; all are in memory at once, because they may share a scale."""
    labels = clips.index.labels
    rows = classes_in_turn(clips.sound, labels.__getitem__)[: options.pictures]
    with_cam = has_captum() if options.cam is None else options.cam
    found: list[Drawing] = []
    for row in track(rows, "Attention of the drawn videos", len(rows)) if rows else ():
        path = clips.index.path(row)
        try:
            view = clips.view(row)
        except Exception as error:  # any decoder error
            say(f"Not drawn: {decode_error(path, error)}", style="yellow")
            continue
        clip = clips.prepared(view)
        panels = block_panels(model, clip, names, options.queries)
        queries = options.queries if any(len(panel.maps) > 1 for panel in panels) else []
        if with_cam:
            panels.append(
                activation_panel(model, clip, classes, multi_label=clips.index.multi_label)
            )
        common = options.scale == "common"
        found.append(Drawing("/".join(path.parts[-2:]), view, queries, panels, common))
    if options.scale == "common":
        share_scale(found)
    return found


def _save(drawings: Sequence[Drawing], out: Path) -> list[Picture]:
    """Write an MP4 and a WebP of each."""
    pictures, outputs = [], Outputs(out)
    for drawing in track(drawings, "Drawing", len(drawings)) if drawings else ():
        stem = readable("_".join(drawing.title.split("/")).rsplit(".", 1)[0])
        file = out / outputs.free(stem, ".mp4", ".webp")
        files = save(draw(drawing), drawing.view.times, file)
        pictures.append(Picture(drawing.title, drawing.activation, *files))
    return pictures
