"""The inputs of `tools/prepare.py` (folders, lists, a data set's name) as one list of videos."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from video_gc.data.annotations.class_folders import find_layout, split_of
from video_gc.data.annotations.folder_scan import find_videos
from video_gc.data.annotations.groups import with_groups
from video_gc.data.annotations.labels import nfc
from video_gc.data.annotations.lists import kind_of_list, read_listed
from video_gc.data.annotations.official import OFFICIAL, OfficialFiles, annotations_of
from video_gc.data.config import LISTS
from video_gc.data.index import DataError, VideoIndex
from video_gc.data.manifest import Listed, Listing, absolute, absolute_paths, unusable
from video_gc.progress import say

SPLITS = ("train", "val", "test")
GROUP = "--group PATTERN"


def list_sources(
    sources: Sequence[Path],
    root: Path | None = None,
    *,
    kind: str | None = None,
    names: Sequence[str] | None = None,
    multi_label: bool = False,
    columns: Mapping[str, str] | None = None,
    group: str | None = None,
) -> Listing:
    """The videos of folders and lists.

    A folder contains CLASS/…/video, or train, val and test with CLASS/…/video in each; videos
    outside such folders have no label, or no split. A list is one split, called train, val or test
    if its name contains that, else by its name.
    root: folder where paths in lists start; a list's own folder by default.
    kind, names, multi_label, columns: for lists, as in `read_listed`; by default the kind is table
        or list, from the file's name.
    group: pattern of groups, as in `with_groups`.

    Raises FileNotFoundError, ValueError for no source or another kind, DataError for a list with a
    wrong line, a folder without videos or a video without a group.
    """
    if not sources:
        raise ValueError("give a folder or a list, or --data and --root")
    if kind is not None and kind not in LISTS:
        raise ValueError(f"--kind ({kind!r}) must be one of {', '.join(LISTS)}")
    listed: list[Listed] = []
    for source in sources:
        if not source.is_file():
            listed += _of_folder(source, group)
            continue
        index = read_listed(
            source,
            kind=kind or kind_of_list(source),
            root=root,
            names=names,
            multi_label=multi_label,
            columns=columns,
            option="--{}-column NAME",
        )
        listed += list_index(with_groups(index, group, GROUP), _split_of_list(source))
    first = sources[0].parent if sources[0].is_file() else sources[0]
    ordered = None if names is None else list(names)
    return Listing(listed, root or first, ordered, multi_label)


def list_official(
    kind: str,
    root: Path,
    annotations: Path | None = None,
    *,
    names: list[str] | None = None,
    split: int = 1,
    group: str | None = None,
) -> Listing:
    """The videos of a data set with official files, missing ones included.

    kind: one of OFFICIAL. annotations: ROOT/annotations if it exists, else ROOT.
    names: class names in order (kinetics). split: one of the three (ucf101, hmdb51).
    group: pattern of groups, as in `with_groups`.

    Raises ValueError for another kind, FileNotFoundError or DataError for missing files.
    """
    if kind not in OFFICIAL:
        raise ValueError(f"--data ({kind!r}) must be one of {', '.join(OFFICIAL)}")
    if split not in (1, 2, 3):
        raise ValueError(f"--split ({split}) must be 1, 2 or 3")
    if not root.is_dir():
        raise FileNotFoundError(f"{root}: no such folder (--root)")
    folder = annotations or annotations_of(root)
    parts = OFFICIAL[kind](OfficialFiles(root, folder, names=names, split=split))
    listed: list[Listed] = []
    for name in SPLITS:
        index = getattr(parts, name)
        if index is not None:
            listed += list_index(with_groups(index, group, GROUP), name)
        missing = parts.missing.get(name, ())
        listed += [Listed(Path(absolute(root / video)), split=name) for video in missing]
    return Listing(listed, root, list(parts.train.names), parts.train.multi_label)


def usable(listing: Listing, manifest: Path | None) -> Listing:
    """The videos that training uses: those that exist and are not damaged in a manifest."""
    bad = unusable(manifest) if manifest else {}
    kept = [v for v in listing.videos if str(v.path) not in bad and os.path.exists(v.path)]
    return listing._replace(videos=kept)


def list_index(index: VideoIndex, split: str) -> list[Listed]:
    """A row for each video; the classes of a multi-label video are joined by |."""
    paths = absolute_paths(index.table["path"], index.root).to_pylist()
    nothing = [None] * len(index)
    known = "group" in index.table.column_names
    sources = index.table["group"].to_pylist() if known else nothing
    columns = (index.joined_names().to_pylist(), sources, index.segments() or nothing)
    return [
        Listed(Path(path), label, split, source, segment)
        for path, label, source, segment in zip(paths, *columns, strict=True)
    ]


def _split_of_list(file: Path) -> str:
    found = [name for name in SPLITS if name in file.stem.lower()]
    return found[0] if len(found) == 1 else file.stem


def _of_folder(root: Path, group: str | None) -> list[Listed]:
    """Every video with its class, split and group; warns if training would refuse the folder."""
    paths = find_videos(root, utf8=True)
    names = [path.relative_to(root).as_posix() for path in paths]
    try:
        splits = {top: split for split, top in find_layout(root, names).splits.items()}
    except DataError as error:
        say(f"Training will refuse this folder: {error}", style="yellow")
        splits = {name: split for name in os.listdir(root) if (split := split_of(name))}
    tops = [name.partition("/")[0] if "/" in name else "" for name in names]
    kept = [splits.get(top, "") for top in tops]
    below = [n[len(top) + 1 :] if s else n for n, top, s in zip(names, tops, kept, strict=True)]
    labels = [name.partition("/")[0] if "/" in name else "" for name in below]
    groups: list[str | None] = [None] * len(names)
    if group is not None:
        index = VideoIndex.build(below, [-1] * len(below), [], root=root)
        groups = with_groups(index, group, GROUP).table["group"].to_pylist()
    return [
        Listed(Path(absolute(path)), nfc(label), split, source)
        for path, label, split, source in zip(paths, labels, kept, groups, strict=True)
    ]
