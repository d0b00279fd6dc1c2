"""The videos below a folder, and a list of everything skipped."""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from video_gc.data.index import DataError
from video_gc.escape import readable
from video_gc.progress import say

_GROUPS = (
    # MP4 and its family
    "3g2 3gp 3gp2 3gpp 3gpp2 f4v insv ismv k3g m4v mj2 mjp2 mov mp4 mp4v mpg4 mqv qt",
    # MPEG streams, as cameras, discs and receivers call them
    "evo m1v m2p m2t m2ts m2v mod mpe mpeg mpeg1 mpeg2 mpeg4 mpg mpv mts tod tp trp ts vdr vob vro",
    # Matroska, Ogg, AVI, Windows, Flash, RealMedia
    "mk3d mkv webm ogm ogv ogx avi divx xvid asf dvr-ms wm wmv wtv flv kux swf ivr rm rmvb",
    # studios, cameras, games, animations
    "cine dif dv gxf mlv mxf nut r3d ser amv bik dav drc fli flc mtv nsv nuv pva roq smk thp ty",
    "vivo apng gif",
    # streams without a container
    "264 265 266 av1 avc avs2 avs3 h261 h263 h264 h265 h266 hevc ivf mjpeg mjpg obu vc1 vvc y4m",
)
SUFFIXES = frozenset(f".{suffix}" for group in _GROUPS for suffix in group.split())
"""Suffixes of videos: those that FFmpeg reads as moving pictures."""
_SYSTEM = (
    "$recycle.bin|recycler|found.000|system volume information|lost+found|lost.dir",
    "network trash folder|temporary items|__macosx|__pycache__|@eadir|@recycle",
    "@recently-snapshot|#recycle|#snapshot",
)
SYSTEM = frozenset(name for group in _SYSTEM for name in group.split("|"))
"""Folders of operating systems and file servers, in lower case: deleted files, thumbnails."""

OURS = re.compile(r"(motions|resize)\.json|resize-failed\.csv|(.*/)?\.video_gc(-outputs\.jsonl)?")
"""Files of our own tools in a folder of videos; never reported."""

HIDDEN_FOLDER = "hidden or system folder"
HIDDEN_FILE = "hidden file"
OTHER_KIND = "file of another kind"
NO_VIDEOS = "folder without videos"
NOT_UTF8 = "name that is not UTF-8"
TWICE = "link to what is listed already"
BROKEN = "link that leads nowhere"
NO_FILE = "device, pipe or socket"
NOT_UNDERSTOOD = "folder that is no split"
EXPECTED = frozenset({HIDDEN_FOLDER, HIDDEN_FILE, OTHER_KIND})
"""Common kinds that seldom matter."""
SHOWN = 3


@dataclass
class PassedOver:
    """Skipped files and folders by kind; paths are relative to the folder."""

    paths: dict[str, list[str]] = field(default_factory=dict)
    """kind → where"""
    suffixes: dict[str, list[str]] = field(default_factory=dict)
    """suffix in lower case → files of another kind"""

    def add(self, kind: str, path: str, suffix: str | None = None) -> None:
        """Add one path; `suffix`: of a file of another kind."""
        if suffix is None:
            self.paths.setdefault(kind, []).append(path)
        else:
            self.suffixes.setdefault(suffix, []).append(path)

    def __len__(self) -> int:
        return sum(map(len, (*self.paths.values(), *self.suffixes.values())))

    def rows(self) -> Iterator[tuple[str, str]]:
        """(kind, path) of all, in order."""
        for kind in sorted(self.paths):
            yield from ((kind, path) for path in sorted(self.paths[kind]))
        for suffix in sorted(self.suffixes):
            yield from ((OTHER_KIND, path) for path in sorted(self.suffixes[suffix]))

    def __str__(self) -> str:
        parts = [
            f"{_count(len(paths), kind)} ({_some([readable(path) for path in sorted(paths)])})"
            for kind, paths in sorted(self.paths.items())
        ]
        if self.suffixes:
            ranked = sorted(self.suffixes.items(), key=lambda item: (-len(item[1]), item[0]))
            total = sum(len(paths) for _, paths in ranked)
            kinds = [f"{suffix or 'no suffix'} {len(paths):,}" for suffix, paths in ranked]
            parts.append(f"{_count(total, OTHER_KIND)} ({_some(kinds, 8)})")
        return "; ".join(parts)

    def say(self, root: Path) -> None:
        """Print one line if anything was skipped."""
        if len(self):
            matters = not EXPECTED.issuperset(self.paths)
            say(f"{root}: passed over: {self}", style="yellow" if matters else None)


@dataclass(frozen=True)
class Scan:
    """The contents of a folder."""

    videos: list[str]
    """relative to the folder, sorted; every name is UTF-8"""
    unnamed: list[str]
    """videos whose names are not UTF-8, with surrogates; no index, list or manifest has them"""
    folders: list[str]
    """names of its direct subfolders, without hidden ones"""
    passed_over: PassedOver


def scan(folder: Path) -> Scan:
    """Read a folder recursively; linked folders are followed, and each folder is read once.

    The directory entry gives the kind of a file, so only links need a stat. Files in the tree come
    before linked ones; a link to a file in the tree is left out.

    Raises FileNotFoundError for a missing folder.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: no such folder")
    found = _Walk(folder)
    found.read()
    names = found.videos
    videos = sorted(name for name in names if is_utf8(name))
    unnamed = (
        sorted(name for name in names if not is_utf8(name)) if len(videos) < len(names) else []
    )
    for name in unnamed:
        found.passed_over.add(NOT_UTF8, name)
    full = {""}
    for name in (*videos, *unnamed):
        above = os.path.dirname(name)
        while above not in full:
            full.add(above)
            above = os.path.dirname(above)
    for name in found.folders:
        if name and name not in full and os.path.dirname(name) in full:
            found.passed_over.add(NO_VIDEOS, name)
    top = sorted(name for name in found.folders if name and "/" not in name)
    return Scan(videos, unnamed, top, found.passed_over)


def find_videos(folder: Path, *, utf8: bool = False) -> list[Path]:
    """All video files below `folder`, sorted; prints what is skipped.

    utf8: leave out names that are not UTF-8, which no index can contain.

    Raises FileNotFoundError for a missing folder, DataError for one without videos.
    """
    found = scan(folder)
    names = found.videos if utf8 else [*found.videos, *found.unnamed]
    if not utf8:
        found.passed_over.paths.pop(NOT_UTF8, None)
    found.passed_over.say(folder)
    if not names:
        raise no_videos(folder, found)
    return sorted(folder / name for name in names)


def no_videos(folder: Path, found: Scan) -> DataError:
    """The error for a folder without videos; it lists what was skipped."""
    what = f"passed over: {found.passed_over}; " if len(found.passed_over) else ""
    return DataError(
        f"{folder}: no videos in this folder (expected CLASS/video); {what}videos end "
        f"in .mp4, .mkv, .avi, .mov, .webm or one of {len(SUFFIXES) - 5} other suffixes "
        "(docs/data.md)"
    )


def is_video(name: str) -> bool:
    """Whether a file of this name counts as a video."""
    return os.path.splitext(name)[1].lower() in SUFFIXES


def is_hidden(name: str) -> bool:
    """Whether the system, not the user, made a file or folder of this name."""
    return name.startswith(".") or name.casefold() in SYSTEM


def is_utf8(name: str) -> bool:
    """Whether a name is valid UTF-8."""
    if name.isascii():
        return True
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


class _Walk:
    """The state of one scan."""

    def __init__(self, folder: Path) -> None:
        self.folder = str(folder)
        self.videos: list[str] = []
        self.folders: list[str] = []
        self.passed_over = PassedOver()
        real = os.path.realpath(folder)
        self.seen = {real}  # real paths of folders
        self.waiting = [("", real)]
        self.linked_folders: list[tuple[str, str]] = []
        self.linked_files: list[tuple[str, str]] = []

    def read(self) -> None:
        while self.waiting or self.linked_folders:
            while self.waiting:
                self._read_folder(*self.waiting.pop())
            self.linked_folders.sort(reverse=True)
            if self.linked_folders:
                name, real = self.linked_folders.pop()
                self._go_into(name, real, linked=True)
        targets: set[tuple[str, str]] = set()
        real_folders: dict[str, str] = {}
        for name, real in sorted(self.linked_files):
            target = _target(name, real, real_folders)
            listed = target[0] in self.seen and is_video(target[1]) and not is_hidden(target[1])
            if listed or target in targets:
                self.passed_over.add(TWICE, name)
            else:
                targets.add(target)
                self.videos.append(name)

    def _read_folder(self, below: str, real: str) -> None:
        self.folders.append(below)
        with os.scandir(os.path.join(self.folder, below)) as entries:
            for entry in entries:
                name = os.path.join(below, entry.name)
                try:
                    is_folder, is_file = entry.is_dir(), entry.is_file()
                except OSError:  # a cycle of links
                    is_folder = is_file = False
                if OURS.fullmatch(name):
                    continue
                if is_hidden(entry.name):
                    self.passed_over.add(HIDDEN_FOLDER if is_folder else HIDDEN_FILE, name)
                elif is_folder and entry.is_symlink():
                    self.linked_folders.append((name, os.path.realpath(entry.path)))
                elif is_folder:
                    self._go_into(name, os.path.join(real, entry.name))
                elif not is_file:
                    self.passed_over.add(BROKEN if entry.is_symlink() else NO_FILE, name)
                elif not is_video(name):
                    suffix = os.path.splitext(entry.name)[1].lower()
                    self.passed_over.add(OTHER_KIND, name, suffix)
                elif entry.is_symlink():
                    self.linked_files.append((name, real))
                else:
                    self.videos.append(name)

    def _go_into(self, name: str, real: str, *, linked: bool = False) -> None:
        if real not in self.seen:
            self.seen.add(real)
            self.waiting.append((name, real))
        elif linked:
            self.passed_over.add(TWICE, name)


def _target(name: str, real: str, real_folders: dict[str, str]) -> tuple[str, str]:
    """The target of a linked file: the real path of its folder, and its name there."""
    link = os.path.join(real, os.path.basename(name))
    try:
        where = os.path.join(real, os.readlink(link))
    except OSError:  # removed in the meantime
        where = link
    folder, base = os.path.split(where)
    if folder not in real_folders:
        real_folders[folder] = os.path.realpath(folder)
    return real_folders[folder], base


def _count(number: int, kind: str) -> str:
    first, space, rest = kind.partition(" ")
    if number == 1:
        return f"1 {kind}"
    if kind.startswith("hidden"):
        return f"{number:,} {kind}s"
    if kind == NO_FILE:
        return f"{number:,} devices, pipes or sockets"
    plural = f"{number:,} {first}s{space}{rest}"
    return plural.replace("that is ", "that are ").replace("that leads ", "that lead ")


def _some(names: list[str], most: int = SHOWN) -> str:
    return ", ".join(names[:most]) + (", …" if len(names) > most else "")
