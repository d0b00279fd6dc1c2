"""Whether a path is a file that can be a video, before anything opens it."""

import os
import re
import stat
from collections.abc import Iterable

from video_gc.decode.reader import OpenError

ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")
KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def file_status(path: str) -> os.stat_result:
    """os.stat. Raises FileNotFoundError with advice for an address or a camera."""
    try:
        return os.stat(path)
    except FileNotFoundError:
        pass
    except ValueError:  # it contains a zero byte
        pass
    hint = ""
    if ADDRESS.match(path):
        hint = "; it is an address; video-gc stream reads rtsp:// and http://"
    elif path.isdecimal() or path == "-":
        hint = "; video-gc stream reads cameras and standard input"
    raise FileNotFoundError(f"{path}: no such file or folder{hint}")


def check_exist(paths: Iterable[str | os.PathLike[str]]) -> None:
    """Raise FileNotFoundError for the first of these files and folders that does not exist."""
    for path in paths:
        file_status(os.fspath(path))


def check_mode(name: str, mode: int, *, folder: bool = False) -> None:
    """Raise OpenError unless `os.stat` calls it a file, or with `folder` a folder."""
    kind = stat.S_IFMT(mode)
    if kind != stat.S_IFREG and not (folder and kind == stat.S_IFDIR):
        what = KINDS.get(kind, "no regular file")
        raise OpenError(name, f"is {what}, not a file with a video in it")
