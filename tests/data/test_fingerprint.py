"""What a fingerprint depends on, and what is said of copies that differ."""

import hashlib
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from video_gc.data.fingerprint import (
    fingerprint,
    fingerprint_videos,
    fingerprint_warning,
    published_count_note,
    same_copy,
)
from video_gc.data.index import VideoIndex
from video_gc.data.manifest import NAME, Listed
from video_gc.data.prepare.check import check_videos
from video_gc.data.prepare.listing import list_sources
from video_gc.engine.checkpoint import load_network


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


def test_contents_come_from_the_manifest(tmp_path: Path, clips_folder: Path) -> None:
    listed, root = list_sources([clips_folder])
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


def test_a_checkpoint_carries_it_and_old_ones_load(checkpoint: Path, tmp_path: Path) -> None:
    content = torch.load(checkpoint, weights_only=True)
    content["video_gc"]["fingerprint"] = {"train": "sizes:1"}
    torch.save(content, tmp_path / "new.ckpt")
    assert load_network(tmp_path / "new.ckpt")[1].fingerprint == {"train": "sizes:1"}
    del content["video_gc"]["fingerprint"]
    torch.save(content, tmp_path / "old.ckpt")
    assert load_network(tmp_path / "old.ckpt")[1].fingerprint == {}
