"""The same video twice: what is found, and what is not said."""

from hypothesis import given
from hypothesis import strategies as st

from video_gc.data.prepare.leaks import Pair, find_duplicates, find_leaks, source_id

KINETICS = "run/AbC-_678901_000010_000020.mp4"


def row(
    path: str, split: str = "", content: str = "", pictures: str = "", source: str = ""
) -> dict:
    return {
        "path": path, "split": split, "content": content or path, "pictures": pictures,
        "source": source,
    }  # fmt: skip


def test_source_ids_in_names() -> None:
    assert source_id(KINETICS) == "AbC-_678901"
    assert source_id("x/v_Basketball_g01_c04.avi") == "v_Basketball_g01"
    assert source_id("x/v_Basketball_g01_c04.avi", "given") == "given"
    for unknown in ("x/a.mp4", "short_000010_000020.mp4", "AbC-_678901_10_20.mp4", "g01_c01.avi"):
        assert source_id(unknown) is None


def test_leaks_between_splits_by_every_kind_of_evidence() -> None:
    rows = [
        row("train/a.mp4", "train", content="1"),
        row("val/a.mp4", "val", content="1"),
        row("same.mp4", "train"),
        row("same.mp4", "val"),
        row("train/r.mp4", "train", pictures="7"),
        row("val/r.mkv", "val", pictures="7"),
        row("train/v_Run_g03_c01.avi", "train"),
        row("test/v_Run_g03_c02.avi", "test"),
        row("train/s.mp4", "train", source="tape 9"),
        row("test/t.mp4", "test", source="tape 9"),
        row("train/alone.mp4", "train", source="tape 1"),
    ]
    assert find_leaks(rows) == [
        Pair("train/a.mp4", "val/a.mp4", "train/val", "same content"),
        Pair("same.mp4", "same.mp4", "train/val", "same file"),
        Pair("train/r.mp4", "val/r.mkv", "train/val", "same pictures"),
        Pair("train/v_Run_g03_c01.avi", "test/v_Run_g03_c02.avi", "train/test", "same group"),
        Pair("train/s.mp4", "test/t.mp4", "train/test", "same group"),
    ]


def test_clips_of_one_source_in_one_split_are_no_leak() -> None:
    rows = [row(f"v_Run_g03_c0{number}.avi", "train") for number in range(4)]
    assert find_leaks(rows) == find_duplicates(rows) == []


def test_videos_of_no_split_leak_nowhere() -> None:
    rows = [row("v_Run_g03_c01.avi", "train"), row("v_Run_g03_c02.avi"), row("v_Run_g03_c01.avi")]
    assert find_leaks(rows) == []


def test_duplicates_stand_beside_the_first() -> None:
    rows = [row(name, content="1") for name in "abc"] + [row("d", pictures="5"), row("e")]
    rows.append(row("f", pictures="5"))
    rows.append(row("a", "val", content="1"))  # the same file in a second list
    assert [(pair.first, pair.second, pair.how) for pair in find_duplicates(rows)] == [
        ("a", "b", "same content"),
        ("a", "c", "same content"),
        ("d", "f", "same pictures"),
    ]


@given(st.lists(st.tuples(st.sampled_from(["train", "val"]), st.sampled_from("123")), max_size=12))
def test_there_are_leaks_where_splits_share_content(videos: list[tuple[str, str]]) -> None:
    rows = [row(str(n), split, content) for n, (split, content) in enumerate(videos)]
    shared = {c for s, c in videos if s == "train"} & {c for s, c in videos if s == "val"}
    assert {videos[int(pair.second)][1] for pair in find_leaks(rows)} == shared
