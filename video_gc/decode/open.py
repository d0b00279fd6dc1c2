"""Open a video with the named decoder, or with one that reads it correctly."""

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
"""Name → module with `open_reader(source, options)`; imported when used."""


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
        start), or a folder of images. `~` is the home directory. No other file or address named in
        the file is opened.
    decoder: auto, or a decoder's name. `auto` uses pyav, on CUDA torchcodec, but none with known
        faults for this kind of file (docs/decoders.md); naming such a decoder prints a warning.
    device: cpu, or cuda (frames are decoded, cropped and scaled there, and returned as arrays).
        If CUDA cannot decode the file, the CPU does, and `reader.fell_back` is True.
    threads: of the decoder; several workers with one thread each are faster than one with several.
    damage: "raise" CorruptError for a frame that is not as recorded, or "report": give the
        decoder's frame (or the nearest one if it is missing) and list it in `reader.damaged`. Only
        pyav finds hidden damage; docs/decoders.md says how much.
    time_limit: most seconds for opening and for each new frame; then StuckError is raised.
    max_pixels: largest picture in pixels, coded and scaled; a clip may have 16 times as many. The
        file's claims are checked before it is decoded.

    Raises FileNotFoundError, OpenError if the file cannot be read as a video (or is a pipe, a
    device or a socket), NoVideoError if it contains none, TooLargeError; ValueError for an unknown
    decoder, device or option, TypeError for an invalid source, ImportError with the install command
    if a decoder is not installed.
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
    try:  # the shown picture may be larger than the coded one: pixels need not be square
        check_picture(reader.path, reader.size, max_pixels)
    except BaseException:
        reader.close()
        raise
    reader.fell_back = fell_back or reader.fell_back
    return reader


def _choose(source: Source, device: str, max_pixels: int) -> str:
    """The decoder for `auto`. Raises ValueError for device="cuda" without a CUDA device."""
    if _is_folder(source):
        return "frames"
    if device == "cpu":
        return "pyav"
    from video_gc.decode.torchcodec import check_cuda

    check_cuda()
    return "pyav" if known_wrong("torchcodec", kind_of(source, max_pixels)) else "torchcodec"


def _is_folder(source: Source) -> bool:
    return isinstance(source, str | os.PathLike) and Path(source).is_dir()
