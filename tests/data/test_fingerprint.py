"""What a fingerprint depends on, and what is said of copies that differ."""

import hashlib
import os
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conftest import counted_frames
from video_gc.data import fingerprint as module
from video_gc.data.annotations.class_folders import read_class_folders
from video_gc.data.config import DataConfig
from video_gc.data.fingerprint import (
    fingerprint,
    fingerprint_splits,
    fingerprint_videos,
    fingerprint_warning,
    published_count_note,
    same_copy,
)
from video_gc.data.index import VideoIndex
from video_gc.data.manifest import NAME, Listed
from video_gc.data.prepare.check import check_videos
from video_gc.data.prepare.listing import list_index, list_sources
from video_gc.data.splits import read_splits
from video_gc.decode.write import write_video
from video_gc.train.checkpoint import load_network
from video_gc.train.inputs import fingerprints


def folder(root: Path, content: str = "x") -> list[Listed]:
    videos = []
    for label, name in (("run", "a.mp4"), ("run", "b.mp4"), ("jump", "a.mp4")):
        path = root / label / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content * (1 + len(videos)))
        videos.append(Listed(path, label))
    return videos


def test_the_definition(tmp_path: Path) -> None:
    text = "jump\t1\nrun\t2\na.mp4\tjump\t\t3\na.mp4\trun\t\t1\nb.mp4\trun\t\t2\n"
    expected = hashlib.blake2b(text.encode(), digest_size=6).hexdigest()
    assert fingerprint_videos(folder(tmp_path)) == f"sizes:{expected}"


@given(st.permutations(range(3)))
def test_neither_order_nor_place_matters(tmp_path_factory, order: list[int]) -> None:  # type: ignore[no-untyped-def]
    one, two = (folder(tmp_path_factory.mktemp("root")) for _ in range(2))
    assert fingerprint_videos(one) == fingerprint_videos([two[number] for number in order])


def test_lists_labels_segments_and_contents_do(tmp_path: Path) -> None:
    videos = folder(tmp_path / "1")
    others = [
        videos[:2],
        [*videos, videos[0]],
        [Listed(videos[0].path, "jump"), *videos[1:]],
        [Listed(videos[0].path, "run", segment=(0, 1.5)), *videos[1:]],
        folder(tmp_path / "2", "yy"),
    ]
    assert len({fingerprint_videos(rows) for rows in [videos, *others]}) == 6


def test_an_index_and_a_folder_agree_and_classes_go_by_name(tmp_path: Path) -> None:
    videos = folder(tmp_path)
    paths = [video.path for video in videos]
    assert fingerprint(VideoIndex.build(paths, [0, 0, 1], ["run", "jump"])) == fingerprint_videos(
        videos
    )
    several = [
        VideoIndex.build(paths, labels, names, multi_label=True)
        for labels, names in (([[0, 1], [1], []], ["b", "a"]), ([[1, 0], [0], []], ["a", "b"]))
    ]
    assert fingerprint(several[0]) == fingerprint(several[1])


@given(st.data())
@settings(max_examples=40)
def test_the_columns_give_what_a_plain_loop_gives(tmp_path_factory, data: st.DataObject) -> None:  # type: ignore[no-untyped-def]
    root = tmp_path_factory.mktemp("root")
    several = data.draw(st.booleans())
    names = ["run", "jump|high", "a b"]
    number = st.integers(0, 2)
    times = st.one_of(st.none(), st.floats(0, 99))
    rows = data.draw(
        st.lists(
            st.tuples(
                st.text("ab/. \t\né", min_size=1, max_size=6).filter(
                    lambda t: t.strip("./") and ".." not in t.split("/")
                ),
                st.lists(number, max_size=3) if several else st.one_of(number, st.just(-1)),
                times,
                times,
            ),
            max_size=6,
        )
    )
    paths, labels, start, end = zip(*rows, strict=True) if rows else ((), (), (), ())
    index = VideoIndex.build(
        paths, labels, names, root=root, multi_label=several, start=start, end=end
    )
    lines, counts = [], Counter()
    for row in range(len(index)):
        label = "|".join(sorted("|".join(index.label_names(row)).split("|")))
        part = index.segment(row)
        text = "" if part is None else f"{part[0]:.3f}-{part[1]:.3f}"
        lines.append(f"{os.path.basename(os.path.abspath(index.path(row)))}\t{label}\t{text}\t0\n")
        counts[label] += 1
    text = "".join([*(f"{name}\t{counts[name]}\n" for name in sorted(counts)), *sorted(lines)])
    expected = hashlib.blake2b(text.encode(), digest_size=6).hexdigest()
    assert fingerprint(index) == f"sizes:{expected}"
    assert fingerprint_videos(list_index(index, "")) == f"sizes:{expected}"


def test_a_file_that_was_replaced_is_noticed(tmp_path: Path, clips_folder: Path) -> None:
    root = shutil.copytree(clips_folder, tmp_path / "set")
    index = read_class_folders(root)
    listed, _, *_ = list_sources([root])
    check_videos(listed, root, root / NAME)
    before = fingerprint(index, root / NAME)
    assert before.startswith("contents:")
    write_video(root / "dark" / "0.mp4", counted_frames(33))
    after = fingerprint(index, root / NAME)
    assert after == fingerprint(index) != before
    assert after.startswith("sizes:")
    assert same_copy(before, after) is False
    shutil.copy(clips_folder / "dark" / "0.mp4", root / "dark" / "0.mp4")  # of another time
    assert fingerprint(index, root / NAME) == before.split()[1]


def test_equal_splits_are_asked_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = [video.path for video in folder(tmp_path)]
    asked: list[Path] = []
    stamp = module.stamp

    def counted(path: Path) -> tuple[int, int]:
        asked.append(path)
        return stamp(path)

    monkeypatch.setattr(module, "stamp", counted)
    train, val = (VideoIndex.build(some, [0] * len(some), ["a"]) for some in (paths[:2], paths[2:]))
    test = VideoIndex.build(paths[2:], [0], ["a"])
    found = fingerprint_splits({"train": train, "val": val, "test": test})
    assert sorted(asked) == sorted(paths)
    assert found == {"train": fingerprint(train), "val": fingerprint(val), "test": found["val"]}


def test_contents_come_from_the_manifest(tmp_path: Path, clips_folder: Path) -> None:
    listed, root, *_ = list_sources([clips_folder])
    check_videos(listed, root, tmp_path / NAME)
    found = fingerprint_videos(listed, tmp_path / NAME)
    assert found.startswith("contents:")
    assert found.endswith(fingerprint_videos(listed))  # sizes
    assert fingerprint_videos(listed[1:], tmp_path / NAME).split()[0] != found.split()[0]
    unknown = [*listed, Listed(tmp_path / "new.mp4", "dark")]
    assert fingerprint_videos(unknown, tmp_path / NAME).startswith("sizes:")


def test_copies_are_compared_by_what_both_have() -> None:
    assert same_copy("contents:1 sizes:2", "contents:1 sizes:3") is True
    assert same_copy("contents:1 sizes:2", "sizes:2") is True
    assert same_copy("contents:1 sizes:2", "contents:4 sizes:2") is False
    assert same_copy("contents:1", "sizes:2") is None
    assert same_copy("", "sizes:2") is None


def test_warnings() -> None:
    trained = {"train": "sizes:1", "test": "sizes:2"}
    assert fingerprint_warning(trained, "sizes:2") is None
    assert fingerprint_warning({}, "sizes:2") is None  # an old checkpoint
    assert fingerprint_warning(trained, "sizes:2", "val") is None  # nothing to compare with
    warning = fingerprint_warning(trained, "sizes:3")
    assert warning is not None
    assert "not the test videos of the training (fingerprint sizes:3" in warning
    same = fingerprint_warning(trained, "sizes:1")
    assert same == "these are the very videos that the network was trained on"


@pytest.mark.parametrize(
    ("count", "said"),
    [
        (19_907, "the complete validation split"),
        (19_881, "incomplete copy that is in use elsewhere too; the official"),
        (19_796, "incomplete copy"),
        (19_761, "incomplete copy"),
        (19_000, "has 19,907, copies in use elsewhere 19,881, 19,796, 19,761"),
    ],
)
def test_counts_of_kinetics(count: int, said: str) -> None:
    note = published_count_note("kinetics400", count)
    assert note is not None
    assert said in note
    for name in ("kinetics", "/data/Kinetics400_256/val", "k400"):
        assert published_count_note(name, count, 400) == note
    for name, classes in (("kinetics", 700), ("kinetics700", None), ("ucf101", 400), ("", None)):
        assert published_count_note(name, count, classes) is None


def test_a_resumed_run_keeps_it(run: Path, clips_folder: Path) -> None:
    splits, data = read_splits(run / "splits"), DataConfig(kind="folder", root=str(clips_folder))
    known = fingerprints(splits, data)
    last = run / "checkpoints" / "last.ckpt"
    kept = load_network(last)[1].fingerprint
    assert fingerprints(splits, data, kept) == kept == known
    assert fingerprints(splits, data, {"train": "sizes:1"}) == {"train": "sizes:1"}
    fewer = replace(splits, train=splits.train.take([0, 1]))  # a manifest came between
    found = fingerprints(fewer, data, kept)
    assert found["train"] == fingerprint(fewer.train) != known["train"]
    assert found["val"] == known["val"]


def test_a_checkpoint_carries_it(checkpoint: Path, tmp_path: Path) -> None:
    content = torch.load(checkpoint, weights_only=True)
    content["video_gc"]["fingerprint"] = {"train": "sizes:1"}
    torch.save(content, tmp_path / "new.ckpt")
    assert load_network(tmp_path / "new.ckpt")[1].fingerprint == {"train": "sizes:1"}
