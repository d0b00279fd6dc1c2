"""A short hash of a split's exact videos, stored with every checkpoint and every result.

Copies of Kinetics differ, because videos vanish from YouTube; scores on different copies cannot be
compared. Equal fingerprints show that two copies are the same, without access to either.

Definition. One line of text per video, with fields separated by tabs:
    file name without folders, class name, start and end of the segment, content
Several class names are sorted and joined by |; a segment is `1.000-2.500` in seconds (empty for the
whole file); the content is the file's size in bytes ("sizes") or the hash of its bytes in the
manifest ("contents"). These lines are sorted. Before them come the sorted lines
`class name<TAB>count` of all classes with videos. Each line ends with a newline. The hash is
blake2b with 6 bytes of the UTF-8 text: 12 hexadecimal digits. So the order of rows and the place
and layout of the folder do not matter; a video added, removed, relabelled or re-encoded does.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from video_gc.data.index import VideoIndex
from video_gc.data.manifest import Listed, absolute, absolute_paths, read_manifest
from video_gc.decode.video_facts import stamp
from video_gc.progress import track

KINETICS400_VAL = 19_907
"""Videos in the official list of Kinetics-400's validation split."""
KINETICS400_COPIES = (19_881, 19_796, 19_761)
"""Sizes of incomplete copies of it with published results."""
STAT_THREADS = 16  # on a file server, each size takes a millisecond
AT_ONCE = 2048  # rows whose files are checked or hashed together


def fingerprint(index: VideoIndex, manifest: Path | None = None) -> str:
    """`contents:1234567890ab sizes:1234567890ab` of a split, as the module's docstring defines it.

    manifest: of tools/prepare.py check; contents are given if it knows every video in its present
        state (same size and modification time), sizes always. A missing file counts as empty.

    Raises FileNotFoundError or DataError for an unreadable manifest.
    """
    return fingerprint_splits({"": index}, manifest)[""]


def fingerprint_splits(
    splits: Mapping[str, VideoIndex], manifest: Path | None = None
) -> dict[str, str]:
    """The fingerprint of each split; see `fingerprint`."""
    known = _known(manifest)
    found: dict[str, str] = {}
    for name, index in splits.items():
        # validation videos are often the test videos too; stat their files once
        same = (
            done
            for done in found
            if splits[done].root == index.root and splits[done].table.equals(index.table)
        )
        twin = next(same, None)
        sizes = index.table["size"] if "size" in index.table.column_names else None
        if twin is None:
            found[name] = _fingerprint(*_columns(index), known, sizes)
        else:
            found[name] = found[twin]
    return found


def fingerprint_videos(videos: Sequence[Listed], manifest: Path | None = None) -> str:
    """The fingerprint of videos without an index; see `fingerprint`."""
    paths = pa.array([absolute(video.path) for video in videos], pa.large_string())
    labels = pa.array([video.label for video in videos], pa.large_string())
    return _fingerprint(paths, labels, [video.segment for video in videos], _known(manifest))


def same_copy(first: str, second: str) -> bool | None:
    """Whether two fingerprints are of the same videos; None if they cannot be compared.

    Contents are compared if both have them, else sizes.
    """
    one, other = (dict(part.split(":", 1) for part in text.split()) for text in (first, second))
    for kind in ("contents", "sizes"):
        if kind in one and kind in other:
            return one[kind] == other[kind]
    return None


def fingerprint_warning(
    trained: Mapping[str, str], evaluated: str, split: str = "test"
) -> str | None:
    """A warning if the evaluated videos are not those of the checkpoint's split.

    trained: split → fingerprint, from the checkpoint; empty for old ones, which give no warning.
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
    """Compare the number of videos with that of a published split; None for other data.

    name: of the data set or its folder, such as data/kinetics400/val, or a name with kinetics and
        400 `classes`; only the validation split is known.
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


Segments = Sequence[tuple[float, float] | None] | None


def _columns(index: VideoIndex) -> tuple[pa.Array, pa.Array, Segments]:
    paths = absolute_paths(index.table["path"], index.root)
    return paths, index.joined_names(), index.segments()


def _known(manifest: Path | None) -> pa.Table | None:
    """The manifest's entries by absolute path."""
    if manifest is None:
        return None
    read = read_manifest(manifest, ("path", "bytes", "mtime", "content"))
    return read.table.set_column(0, "path", absolute_paths(read.table["path"], read.root))


def _fingerprint(
    paths: pa.Array,
    labels: pa.Array,
    segments: Segments,
    known: pa.Table | None,
    packed: pa.ChunkedArray | None = None,
) -> str:
    """paths: absolute. labels: several of a video are joined by |. packed: sizes in shards."""
    stamps = _stamps(paths) if packed is None else np.stack([packed.to_numpy()] * 2, axis=1)
    coded = labels.dictionary_encode()
    ordered = ["|".join(sorted(label.split("|"))) for label in coded.dictionary.to_pylist()]
    labels = pa.array(ordered, pa.large_string()).take(coded.indices)
    parts = pa.array([""] * len(paths), pa.large_string())
    if segments is not None and any(segments):
        texts = ["{:.3f}-{:.3f}".format(*part) if part else "" for part in segments]
        parts = pa.array(texts, pa.large_string())
    names = pc.extract_regex(paths, r"(?s)(?P<name>[^/]*)$").field("name")
    fields = [names, labels, parts]
    sizes = pa.array(stamps[:, 0]).cast(pa.large_string())
    found = [f"sizes:{_hash(fields, sizes)}"]
    contents = None if known is None else _contents(paths, stamps, known)
    if contents is not None:
        found.insert(0, f"contents:{_hash(fields, contents)}")
    return " ".join(found)


def _contents(paths: pa.Array, stamps: np.ndarray, known: pa.Table) -> pa.Array | None:
    """The hash of each file; None if one is unknown or has changed since it was read."""
    rows = pc.index_in(paths, value_set=known["path"].combine_chunks())
    if not len(paths) or rows.null_count:
        return None
    kept = known.take(rows)
    for column, now in zip(("bytes", "mtime"), stamps.T, strict=True):
        if not np.array_equal(kept[column].to_numpy(), now):
            return None
    contents = kept["content"].combine_chunks().cast(pa.large_string())
    return contents if pc.all(pc.not_equal(contents, "")).as_py() else None


def _hash(fields: Sequence[pa.Array], whats: pa.Array) -> str:
    counts = {pair["values"]: pair["counts"] for pair in pc.value_counts(fields[1]).to_pylist()}
    digest = hashlib.blake2b(digest_size=6)
    digest.update("".join(f"{label}\t{counts[label]}\n" for label in sorted(counts)).encode())
    nothing, newline, tab = (pa.scalar(text, whats.type) for text in ("", "\n", "\t"))
    ended = pc.binary_join_element_wise(whats, nothing, newline)
    lines = pc.binary_join_element_wise(*fields, ended, tab)
    lines = lines.take(pc.array_sort_indices(lines))
    for start in range(0, len(lines), AT_ONCE):
        digest.update("".join(lines.slice(start, AT_ONCE).to_pylist()).encode())
    return digest.hexdigest()


def _stamps(paths: pa.Array) -> np.ndarray:
    """(V, 2) int64: size in bytes and modification time of each file, 0 if it is missing."""
    parts = [paths.slice(start, AT_ONCE) for start in range(0, len(paths), AT_ONCE)]
    with ThreadPoolExecutor(STAT_THREADS) as threads:
        stamps: Iterable[np.ndarray] = threads.map(_stamp_each, parts)
        if len(parts) > 1:
            stamps = track(stamps, "Reading sizes", len(parts))
        return np.concatenate([np.zeros((0, 2), np.int64), *stamps])


def _stamp_each(paths: pa.Array) -> np.ndarray:
    return np.array([_stamp(path) for path in paths.to_pylist()], np.int64).reshape(-1, 2)


def _stamp(path: str) -> tuple[int, int]:
    try:
        return stamp(Path(path))
    except OSError:
        return 0, 0
