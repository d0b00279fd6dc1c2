"""Open a video with the decoder that is asked for, or with one that reads it right."""

import os
import warnings
from dataclasses import replace
from importlib import import_module
from pathlib import Path

from video_gc.decode.ffmpeg.source import resolved
from video_gc.decode.known_faults import kind_of, known_wrong
from video_gc.decode.reader import MAX_PIXELS, OpenOptions, Source, VideoReader, check_picture

DECODERS = {
    "pyav": "video_gc.decode.pyav",
    "decord": "video_gc.decode.decord",
    "torchcodec": "video_gc.decode.torchcodec",
    "frames": "video_gc.decode.frames_folder",
}
"""Name → module with `open_reader(source, options)`; imported when it is asked for."""


def open_video(
    source: Source,
    decoder: str = "auto",
    device: str = "cpu",
    threads: int = 1,
    *,
    damage: str = "raise",
    time_limit: float = 60.0,
    max_pixels: int = MAX_PIXELS,
) -> VideoReader:
    """Open a video; use it in a `with` block.

    source: a path, the bytes of a file, an open binary file (read from its
        start), or a folder of images. `~` is the home directory. Nothing else is opened, whatever
        the file names: no other file, no address.
    decoder: auto, or the name of one. `auto` takes pyav, on CUDA torchcodec, and none that is known
        to get this kind of file wrong (docs/decoders.md); asking for such a one by name warns.
    device: cpu, or cuda (frames are decoded, cropped and scaled there, and come back as arrays).
        Where CUDA cannot take the file, the CPU does, and `reader.fell_back` is True.
    threads: of the decoder; several workers with one thread each are faster than one with several.
    damage: "raise" CorruptError for a frame that is not what was recorded, or "report": give what
        the decoder makes of it (the nearest frame where there is none) and list it in
        `reader.damaged`. pyav alone sees hidden damage, how much of it says docs/decoders.md.
    time_limit: seconds without a new frame, or of opening, after which StuckError is raised.
    max_pixels: of the largest picture, as it is coded and as it is scaled; a clip may have 16 times
        as many. What a file claims is checked before it is decoded.

    Raises FileNotFoundError, OpenError where the file cannot be read as a video (or is a pipe, a
    device or a socket), NoVideoError where it holds none, TooLargeError; ValueError for an unknown
    decoder, device or option, TypeError for what is no source, ImportError with the command to type
    where a decoder is not installed.
    """
    if decoder not in (*DECODERS, "auto"):
        raise ValueError(f"decoder ({decoder!r}) must be one of auto, {', '.join(DECODERS)}")
    options = OpenOptions(
        device=device, threads=threads, damage=damage, time_limit=time_limit, max_pixels=max_pixels
    )
    source = resolved(source)
    fell_back = False
    if decoder == "auto":
        decoder = _choose(source, device, max_pixels)
        if device == "cuda" and decoder == "pyav":
            options, fell_back = replace(options, device="cpu"), True
    elif decoder in ("decord", "torchcodec") and not _is_folder(source):
        reason = known_wrong(decoder, kind_of(source, max_pixels))
        if reason:
            warnings.warn(
                f"{decoder} is known to give wrong frames, or none, of {reason}; decoder=auto "
                "takes another (docs/decoders.md)",
                stacklevel=2,
            )
    if _is_folder(source) and decoder != "frames":
        raise ValueError(f"decoder ({decoder!r}) must be auto or frames for a folder: {source!r}")
    reader: VideoReader = import_module(DECODERS[decoder]).open_reader(source, options)
    try:  # what is shown may be larger than what is coded: pixels need not be square
        check_picture(reader.path, reader.size, max_pixels)
    except BaseException:
        reader.close()
        raise
    reader.fell_back = fell_back or reader.fell_back
    return reader


def _choose(source: Source, device: str, max_pixels: int) -> str:
    """The decoder for `auto`. Raises ValueError for device="cuda" where there is none."""
    if _is_folder(source):
        return "frames"
    if device == "cpu":
        return "pyav"
    from video_gc.decode.torchcodec import check_cuda

    check_cuda()
    return "pyav" if known_wrong("torchcodec", kind_of(source, max_pixels)) else "torchcodec"


def _is_folder(source: Source) -> bool:
    return isinstance(source, str | os.PathLike) and Path(source).is_dir()
