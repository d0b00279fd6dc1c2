"""What `tools/prepare.py` is given (folders, lists, a data set by name) as one list of videos."""

from collections.abc import Sequence
from pathlib import Path

from video_gc.data.annotations import VideoIndex, find_videos, read_list
from video_gc.data.annotations.choice import OFFICIAL, OfficialFiles
from video_gc.data.manifest import Listed, absolute, unusable

SPLITS = ("train", "val", "test")
OTHER_NAMES = {"training": "train", "validation": "val", "valid": "val", "testing": "test"}


def list_sources(sources: Sequence[Path], root: Path | None = None) -> tuple[list[Listed], Path]:
    """The videos of folders and lists, and the folder that they lie in.

    A folder holds CLASS/…/video, or train, val and test with CLASS/…/video in each; videos outside
    of such folders have no label, or no split. A list (`path label` lines) is one split, called
    train, val or test where that is in its name, else as the file.
    root: what paths in lists start from; a list's own folder by default.

    Raises FileNotFoundError, ValueError for no source, DataError for a list with a wrong line or a
    folder without videos.
    """
    if not sources:
        raise ValueError("give a folder or a list, or --data and --root")
    listed: list[Listed] = []
    for source in sources:
        if source.is_file():
            listed += list_index(read_list(source, root), _split_of_list(source))
        else:
            listed += [_of_folder(path, source) for path in find_videos(source)]
    first = sources[0].parent if sources[0].is_file() else sources[0]
    return listed, root or first


def list_official(
    kind: str, root: Path, annotations: Path | None = None
) -> tuple[list[Listed], Path]:
    """The videos of a data set with official files, those too that are missing, and its root.

    kind: one of OFFICIAL. annotations: ROOT/annotations where it exists, else ROOT.

    Raises ValueError for another kind, FileNotFoundError or DataError for missing files.
    """
    if kind not in OFFICIAL:
        raise ValueError(f"--data ({kind!r}) must be one of {', '.join(OFFICIAL)}")
    if not root.is_dir():
        raise FileNotFoundError(f"{root}: no such folder (--root)")
    beside = root / "annotations"
    where = OfficialFiles(root, annotations or (beside if beside.is_dir() else root))
    parts = OFFICIAL[kind](where)
    listed = [Listed(Path(absolute(root / name))) for name in parts.missing]
    for split in SPLITS:
        index = getattr(parts, split)
        listed += [] if index is None else list_index(index, split)
    return listed, root


def usable(listed: Sequence[Listed], manifest: Path | None) -> list[Listed]:
    """The videos that training would take: there, and not called damaged by a manifest."""
    bad = unusable(manifest) if manifest else {}
    return [video for video in listed if str(video.path) not in bad and video.path.exists()]


def list_index(index: VideoIndex, split: str) -> list[Listed]:
    """A row for each video; the classes of a multi-label video are joined by |."""
    return [
        Listed(
            path=Path(absolute(path)),
            label="|".join(index.label_names(row)),
            split=split,
            source=index.source_id(row),
            segment=index.segment(row),
        )
        for row, path in enumerate(index.paths)
    ]


def _split_of_list(file: Path) -> str:
    found = [name for name in SPLITS if name in file.stem.lower()]
    return found[0] if len(found) == 1 else file.stem


def _of_folder(path: Path, root: Path) -> Listed:
    parts = path.relative_to(root).parts[:-1]
    split = ""
    if parts and OTHER_NAMES.get(parts[0], parts[0]) in SPLITS:
        split, parts = OTHER_NAMES.get(parts[0], parts[0]), parts[1:]
    return Listed(Path(absolute(path)), parts[0] if parts else "", split)
