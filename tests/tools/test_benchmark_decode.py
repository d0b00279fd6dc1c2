"""The benchmark of decoding compares like with like; how long anything takes is no test's business."""

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
from benchmarks.decode import choose, compare
from benchmarks.parts.decode_peers import (
    FLOOR,
    IMPLEMENTATIONS,
    OURS,
    PER_VIEW,
    TORCHCODEC,
    Done,
    Implementation,
    count_ours,
    floor,
    item_per_view,
    pyav_from_start,
)
from benchmarks.parts.decode_table import PROBING, Row, cells, decode_targets, to_markdown
from benchmarks.parts.measurement import Target, run_interleaved
from benchmarks.parts.videos import (
    Sample,
    Video,
    difference,
    draw,
    encode,
    look_at,
    repeat,
)

TOOLS = Path(__file__).parents[2] / "tools"

FRAMES = 80
BY_NAME = {i.name: i for i in IMPLEMENTATIONS}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], Video]:
    """Group length → video of 80 frames."""
    folder = tmp_path_factory.mktemp("videos")

    def make(group: int) -> Video:
        path = folder / f"g{group}.mp4"
        return look_at(path if path.is_file() else encode(path, 192, 128, group, FRAMES))

    return make


def sample_of(*indices: int) -> Sample:
    random = np.random.default_rng(0)
    video = Video(Path("any"), (128, 192), 30.0, np.arange(FRAMES) / 30, 1.0)
    return replace(draw("8x8", video, random), windows=np.array([indices]))


@pytest.mark.parametrize(
    ("group", "wanted", "packets"),
    [
        (1, [3, 5, 79], 3),  # key frames only: nothing but what is wanted
        (12, [24], 1),
        (12, [12, 48], 2),
        (12, range(FRAMES), FRAMES),
        (250, range(70, FRAMES), FRAMES),  # one group: all of it for the last frames
    ],
)
def test_the_floor_decodes_from_the_key_frame_to_the_last_frame_wanted(
    made: Callable, group: int, wanted: list[int], packets: int
) -> None:
    done = floor(made(group), sample_of(*wanted))
    assert (done.packets, done.pictures) == (packets, packets)


QUICK = {(OURS, "32x2"), (OURS, "views"), (PER_VIEW, "views"), (TORCHCODEC, "views")}
"""Beside each on 8×8."""


@pytest.mark.parametrize(
    ("name", "sample"),
    [
        pytest.param(
            name,
            sample,
            marks=[] if sample == "8x8" or (name, sample) in QUICK else pytest.mark.slow,
        )
        for name, implementation in BY_NAME.items()
        for sample in implementation.samples
        if name != FLOOR
    ],
)
def test_each_brings_the_right_frames(made: Callable, name: str, sample: str) -> None:
    video = made(12)
    wanted = draw(sample, video, np.random.default_rng(1))
    late = np.maximum(wanted.windows.max(1, keepdims=True) - (FRAMES - 12), 0)
    wanted = replace(wanted, windows=wanted.windows - late)
    right = pyav_from_start(video, wanted).clips
    later = pyav_from_start(video, replace(wanted, windows=wanted.windows + 11)).clips
    try:
        clips = BY_NAME[name].run(video, wanted).clips
    except ImportError as error:
        pytest.skip(str(error))
    except RuntimeError as error:
        if "torchcodec" not in name:
            raise
        pytest.skip(str(error).splitlines()[0])
    assert len(clips) in (wanted.clips, 2 if name == PER_VIEW else wanted.clips)
    right, later = right[: len(clips)], later[: len(clips)]
    assert difference(clips, right) < 2.5
    assert difference(clips, right) < 0.4 * difference(later, right)


def test_ours_sends_the_same_packets_and_decodes_fewer_pictures(made: Callable) -> None:
    video, sample = made(250), sample_of(*range(5, 62, 8))
    least = floor(video, sample)
    packets, pictures = count_ours(BY_NAME[OURS].run, video, sample)
    assert packets == least.packets + 1  # and the first frame, for the size of the picture
    assert pictures < 0.8 * least.pictures


def test_an_item_per_view_is_multiplied(made: Callable) -> None:
    video = made(12)
    done = item_per_view(video, draw("views", video, np.random.default_rng(0)))
    assert done.share == 2 / 30
    assert done.pictures == 30 * FRAMES


def test_a_long_file_repeats_the_short_one(made: Callable, tmp_path: Path) -> None:
    short = made(12)
    long = look_at(repeat(short.path, tmp_path / "long.mp4", times=3))
    assert long.frames == 3 * FRAMES
    np.testing.assert_allclose(np.diff(long.times), 1 / 30, atol=1e-6)
    with av.open(long.path) as file, av.open(short.path) as own:
        frames = [f.to_ndarray(format="rgb24") for f in file.decode(video=0)]
        for index, frame in enumerate(own.decode(video=0)):
            picture = frame.to_ndarray(format="rgb24")
            assert all((frames[index + k * FRAMES] == picture).all() for k in range(3))


def test_brightness_of_planes_and_rgb_agree_and_shapes_count() -> None:
    rgb = np.full((2, 4, 4, 3), 255, np.uint8)
    planes = np.full((2, 6, 4), 235, np.uint8)
    assert difference([rgb], [planes]) < 0.1
    assert difference([rgb], [np.zeros_like(rgb)]) == pytest.approx(219, abs=1)
    assert difference([rgb], [rgb[:1]]) == difference([rgb], []) == float("inf")


def test_all_take_turns_with_the_same_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gc.collect", lambda: 0)  # of a large process, this takes long
    seen: list[tuple[str, int]] = []
    calls = {
        name: lambda sample, name=name: seen.append((name, sample)) or Done([]) for name in "abc"
    }
    timed = [name for _, name, _, _ in run_interleaved(calls, [0, 1], "")]
    assert seen == [("a", 0), ("b", 0), ("c", 0), ("b", 1), ("c", 1), ("a", 1)]
    assert timed == [name for name, _ in seen]


@pytest.mark.slow
def test_what_fails_or_is_wrong_is_a_line_of_the_results(made: Callable) -> None:
    def breaks(video: Video, sample: Sample) -> Done:
        raise RuntimeError("no such codec\nstack")

    def shifted(video: Video, sample: Sample) -> Done:
        return pyav_from_start(video, replace(sample, windows=(sample.windows + 40) % FRAMES))

    three = [BY_NAME[FLOOR], Implementation("breaks", breaks), Implementation("shifted", shifted)]
    random = np.random.default_rng(0)
    samples = [draw("8x8", made(12), random) for _ in range(3)]
    rows = compare(made(12), "8x8", three, samples)
    assert [row.error for row in rows] == [None, "no such codec", None]
    assert "other frames" in rows[2].note
    assert [len(row.seconds) for row in rows] == [2, 0, 2]
    assert cells(rows[1], rows)[0] == "no such codec"
    assert "⚠ g12.mp4, 8x8, shifted" in "\n".join(to_markdown(rows, []))


def row(name: str, seconds: list[float], sample: str = "8x8", group: float = 250.0) -> Row:
    return Row("v.mp4", sample, name, [256, 340], group, 1, seconds)


def test_targets_are_ratios_of_medians() -> None:
    rows = [row(FLOOR, [1, 1, 5]), row(OURS, [0.9, 0.8, 0.1]), row("decord alone", [1, 1.2, 9])]
    rows += [row(FLOOR, [2.0], "views"), row(OURS, [1.9], "views"), row(PER_VIEW, [18.0], "views")]
    long = [row(OURS, [1.0]), row(OURS, [2.0])]
    found = decode_targets(rows, long)
    assert [(t.number, t.limit, t.met) for t in found] == [
        (0.8, 0.8, True),
        (pytest.approx(1.5), 1.3, True),
        (0.95, 0.9, False),
        (pytest.approx(9.47, abs=0.01), 10, False),
        (2.0, 2.0, True),
    ]
    short_groups = [row(FLOOR, [1.0], group=12.0), row(OURS, [0.99], group=12.0)]
    assert decode_targets(short_groups, [])[0].limit == 1.0
    slow, opening = [row(OURS, [0.021], group=12.0)], [row(OURS, [0.0014], "opening")]
    opening += [row(PROBING, [0.009], "opening"), replace(opening[0], size=[720, 1280])]
    assert [(t.what, t.met) for t in decode_targets(slow, [], opening)] == [
        ("v.mp4, 8×8, ms", False), ("v.mp4, opening, ms", True),
    ]  # fmt: skip
    assert "| av.open | 9.00 |" in to_markdown([], [], opening[:2])
    assert Target("two workers", 1.79, 1.8, at_least=True).met is False


def test_names_are_chosen_by_how_they_begin() -> None:
    assert {i.name for i in choose(["floor", "video_gc, pyav"])} == {
        FLOOR, OURS, "video_gc, pyav, yuv",
    }  # fmt: skip
    with pytest.raises(ValueError, match="ffmpeg: no name begins so; there are floor; "):
        choose(["ffmpeg"])


def tool(*arguments: object) -> subprocess.CompletedProcess:
    command = [sys.executable, TOOLS / "benchmark.py", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.mark.slow
def test_a_run_writes_table_json_and_plot(made: Callable, tmp_path: Path) -> None:
    done = tool(
        "decode", made(12).path, "--quick", "--samples", "8x8", "views", "--only", "floor",
        "video_gc, pyav", "--out", tmp_path, "--cache", tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    results = json.loads((tmp_path / "decode.json").read_text())
    assert {"av", "torch", "processor", "cores"} <= set(results["machine"])
    rounds = {"8x8": 3, "views": 1}
    assert [(r["sample"], len(r["seconds"])) for r in results["rows"]] == [
        (sample, rounds[sample]) for sample in ("8x8", "views") for _ in range(3)
    ]
    assert [r["video"] for r in results["long"]] == ["g12.mp4", "g12_90times.mp4"]
    assert [target["what"] for target in results["targets"]] == [
        "g12.mp4, 8×8, × floor", "g12.mp4, 8×8, ms", "g12.mp4, 30 views, × floor",
        "g12.mp4, opening, ms", "a clip of a 15-minute file against one of 10 seconds",
    ]  # fmt: skip
    assert [len(r["seconds"]) for r in results["opening"]] == [12, 12]
    assert (tmp_path / "decode.png").read_bytes()[:4] == b"\x89PNG"
    text = (tmp_path / "decode.md").read_text()
    assert "| target | limit | measured | met |" in text
    assert "times as fast" not in text  # the peers were left out


@pytest.mark.slow
def test_a_wrong_call_is_one_line(tmp_path: Path) -> None:
    for arguments in (["missing.mp4"], ["a/x.mp4", "b/x.mp4"], ["--rounds", "0"]):
        done = tool("decode", *arguments, "--out", tmp_path)
        assert done.returncode == 2
        assert "error: " in done.stderr
        assert "Traceback" not in done.stderr
