"""Which videos exactly: a short hash of a split, kept with every checkpoint and every result.

Copies of Kinetics differ, as videos vanish from YouTube; scores on different copies cannot be
compared. The fingerprint says whether two copies are the same without either of them at hand.

Definition. One line of text for each video, its fields separated by tabs:
    file name without folders, class name, start and end of the segment, what is in the file
where several class names are sorted and joined by |, a segment is `1.000-2.500` in seconds (empty
for the whole file), and what is in the file is its size in bytes ("sizes") or the hash of its bytes
in the manifest ("contents"). Before these lines comes `class name<TAB>count` for each class that
has videos, sorted; then the lines of the videos, sorted; each line ends with a newline. The hash is
blake2b with 6 bytes of the UTF-8 text: 12 hexadecimal digits. So the order of rows, the place of
the folder and its layout do not matter, and a video more, less, relabelled or re-encoded does.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from video_gc.data.index import VideoIndex
from video_gc.data.manifest import Listed, absolute, read_manifest
from video_gc.decode.probe import stamp
from video_gc.progress import track

KINETICS400_VAL = 19_907
"""Videos in the official list of Kinetics-400's validation split."""
KINETICS400_COPIES = (19_881, 19_796, 19_761)
"""Sizes of incomplete copies of it that results were published on."""
STAT_THREADS = 16  # sizes come from a file server, where each question takes a millisecond


def fingerprint(index: VideoIndex, manifest: Path | None = None) -> str:
    """`contents:1234567890ab sizes:1234567890ab` of a split, as the module's docstring defines it.

    manifest: of tools/prepare.py check; contents are given where it knows every video, sizes
        always. Files that are not in it are asked for their size; one that is missing counts as
        empty.

    Raises FileNotFoundError or DataError for an unreadable manifest.
    """
    videos = [
        Listed(path, "|".join(index.label_names(row)), segment=index.segment(row))
        for row, path in enumerate(index.paths)
    ]
    return fingerprint_videos(videos, manifest)


def fingerprint_videos(videos: Sequence[Listed], manifest: Path | None = None) -> str:
    """The fingerprint of videos that are in no index; see `fingerprint`."""
    known: dict[str, tuple[int, str]] = {}
    if manifest is not None:
        read = read_manifest(manifest)
        columns = (read.table[name].to_pylist() for name in ("path", "bytes", "content"))
        for path, size, content in zip(*columns, strict=True):
            known[absolute(read.root / path)] = (size, content)
    kept = [known.get(absolute(video.path)) for video in videos]
    missing = [video.path for video, found in zip(videos, kept, strict=True) if found is None]
    asked = iter(_sizes(missing))
    sizes = [next(asked) if found is None else found[0] for found in kept]
    contents = [found[1] for found in kept if found and found[1]]
    parts = [f"sizes:{_hash(videos, sizes)}"]
    if videos and len(contents) == len(videos):
        parts.insert(0, f"contents:{_hash(videos, contents)}")
    return " ".join(parts)


def same_copy(first: str, second: str) -> bool | None:
    """Whether two fingerprints are of the same videos; None where they have nothing in common.

    Contents are compared where both have them, else sizes.
    """
    one, other = (dict(part.split(":", 1) for part in text.split()) for text in (first, second))
    for kind in ("contents", "sizes"):
        if kind in one and kind in other:
            return one[kind] == other[kind]
    return None


def fingerprint_warning(
    trained: Mapping[str, str], evaluated: str, split: str = "test"
) -> str | None:
    """A line of warning where the evaluated videos are not those of the checkpoint's split.

    trained: split → fingerprint, of the checkpoint; empty for old ones, which gives no warning.
    """
    recorded = trained.get(split)
    if not recorded or same_copy(recorded, evaluated) is not False:
        return None
    if same_copy(trained.get("train", ""), evaluated):
        return "these are the very videos that the network was trained on"
    return (
        f"these videos are not the {split} videos of the training (fingerprint {evaluated}, the "
        f"checkpoint's is {recorded}): do not compare their scores"
    )


def published_count_note(name: str, count: int, classes: int | None = None) -> str | None:
    """What a number of videos says about a copy of a published split; None for other data.

    name: of the data set or its folder, such as data/kinetics400/val, or one with kinetics in it
        and 400 `classes`; only the validation split is known.
    """
    kinetics = "kinetics" in name.lower() and ("400" in name or classes == 400)
    if classes not in (None, 400) or not (kinetics or "k400" in name.lower()):
        return None
    official = f"the official validation split of Kinetics-400 has {KINETICS400_VAL:,}"
    if count == KINETICS400_VAL:
        return f"{count:,} videos: the complete validation split of Kinetics-400"
    if count in KINETICS400_COPIES:
        return f"{count:,} videos: an incomplete copy that is in use elsewhere too; {official}"
    others = ", ".join(f"{number:,}" for number in KINETICS400_COPIES)
    return f"{count:,} videos; {official}, copies in use elsewhere {others}: scores may differ"


def _hash(videos: Sequence[Listed], whats: Iterable[int | str]) -> str:
    labels = ["|".join(sorted(video.label.split("|"))) for video in videos]
    counts = Counter(labels)
    lines = [f"{label}\t{counts[label]}\n" for label in sorted(counts)]
    rows = []
    for video, label, what in zip(videos, labels, whats, strict=True):
        segment = "{:.3f}-{:.3f}".format(*video.segment) if video.segment else ""
        rows.append(f"{video.path.name}\t{label}\t{segment}\t{what}\n")
    text = "".join([*lines, *sorted(rows)])
    return hashlib.blake2b(text.encode(), digest_size=6).hexdigest()


def _sizes(paths: Sequence[Path]) -> list[int]:
    with ThreadPoolExecutor(STAT_THREADS) as threads:
        sizes = threads.map(_size, paths)
        return list(track(sizes, "Reading sizes", len(paths)) if len(paths) > 2000 else sizes)


def _size(path: Path) -> int:
    try:
        return stamp(path)[0]
    except OSError:
        return 0
