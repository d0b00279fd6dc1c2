"""One file among many: whatever it does, the others are predicted, and nothing is lost."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from matplotlib.figure import Figure

from tests.evaluate.conftest import drawn, pictures  # noqa: F401 - a fixture
from tests.tools.conftest import TOOLS
from video_gc.decode.pyav import Reader
from video_gc.outputs import read_csv
from video_gc.predict import batch
from video_gc.predict.recognizer import NONE, Prediction, Recognizer

NOT_UTF8 = os.fsdecode(b"caf\xe9.mp4")
LONG = "ü" * 120 + "-.mp4"  # 245 bytes


@pytest.fixture
def folder(tmp_path: Path, video: Path) -> Path:
    """Sound videos with names that are hard to write down."""
    root = tmp_path / "clips"
    root.mkdir()
    for name in ("a.mp4", NOT_UTF8, LONG, "$x$ [red].mp4", "z.mp4"):
        shutil.copy(video, root / name)
    return root


@pytest.mark.slow
@pytest.mark.usefixtures("drawn")
def test_hard_names_are_predicted_drawn_and_printed(
    tool,
    checkpoint: Path,
    folder: Path,
    tmp_path: Path,
) -> None:  # type: ignore[no-untyped-def]
    status, out, err = tool("predict", checkpoint, folder, "--out", tmp_path / "out", "--json")
    assert status == 0, err
    found = json.loads(out)
    assert {Path(one["video"]).name for one in found} == set(os.listdir(folder))
    assert len({json.dumps(one["top"]) for one in found}) == 1  # the same video under each name
    written = [path.name for path in (tmp_path / "out").glob("*.png")]
    assert len(written) == 5
    assert all(name.encode() for name in written)  # each is UTF-8
    again = folder / NOT_UTF8
    assert tool("predict", checkpoint, again, "--out", tmp_path / "out")[0] == 0
    assert len(list((tmp_path / "out").glob("*.png"))) == 5  # replaced


def test_any_error_of_one_file_is_of_that_file(
    checkpoint: Path, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    predict = Recognizer.predict
    errors = {
        "a.mp4": MemoryError(),
        NOT_UTF8: IndexError("list index"),
        LONG: PermissionError(13, "denied"),
        "z.mp4": RuntimeError("odd"),
    }

    def odd(self: Recognizer, video: Path, **_named: object) -> Prediction:
        if video.name in errors:
            raise errors[video.name]
        return predict(self, video)

    monkeypatch.setattr(Recognizer, "predict", odd)
    done = list(batch.predict_all(checkpoint, [folder], tmp_path / "out"))
    failed = [str(one) for one in done if isinstance(one, Exception)]
    assert len(done) == 5
    assert len(failed) == 4
    for name, error in errors.items():
        said = "denied" if isinstance(error, OSError) else type(error).__name__
        assert any(text.startswith(f"{folder / name}: {said}") for text in failed)


def test_a_folder_has_a_summary_and_a_table_and_no_class_below_the_threshold(  # type: ignore[no-untyped-def]
    tool, checkpoint: Path, video: Path, tmp_path: Path
) -> None:
    folder, out = tmp_path / "clips", tmp_path / "out"
    folder.mkdir()
    for name in ("a.mp4", "b.mp4"):
        shutil.copy(video, folder / name)
    (folder / "c.mp4").write_bytes(b"")
    given = (folder, "--out", out, "--threshold", 1, "--top", 1)
    status, printed, err = tool("predict", checkpoint, *given)
    assert status == 1
    assert all(f"│ clips/{name}" in printed for name in ("a.mp4", "b.mp4"))
    scored = [line for line in printed.splitlines() if "%" in line]
    assert len(scored) > 2 * 2 + 2  # each video, its windows, and the summary
    assert all(NONE in line for line in scored)
    assert f"the table is {out / 'predictions.csv'}; files that failed: 1" in err
    header, rows = read_csv(out / "predictions.csv")
    assert header == ["path", "label", "top1", "score1", "damaged_frames", "error"]
    assert [row["label"] for row in rows] == [NONE, NONE, ""]
    assert rows[0]["top1"] in ("bright", "dark")
    assert "the file is empty" in rows[2]["error"]
    assert tool("predict", checkpoint, *given[:3])[0] == 1  # ours: replaced
    assert {row["label"] for row in read_csv(out / "predictions.csv")[1][:2]} == {rows[0]["top1"]}


def test_a_part_of_a_video(tool, checkpoint: Path, video: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    def found(*arguments: object) -> tuple[int, str, str]:
        return tool("predict", checkpoint, video, "--json", "--out", tmp_path, *arguments)

    _, whole, _ = found()
    _, part, _ = found("--start", 0.5, "--end", 1, "--threshold", 1)
    ends = [(json.loads(text)[0]["timeline"][0]["start"], json.loads(text)[0]["timeline"][-1]["end"])
            for text in (whole, part)]  # fmt: skip
    assert ends[0] == (0, 1.333)
    assert ends[1][0] == pytest.approx(0.5, abs=0.04)
    assert ends[1][1] == pytest.approx(1, abs=0.04)
    assert json.loads(part)[0]["label"] == NONE
    status, _, err = found("--start", 99)
    assert status == 1
    assert "lies outside the video, which ends at 1.33333 s" in err
    assert found("--start", 2, "--end", 1)[2] == (
        "error: --end (1 s) must be after --start (2 s); see video-gc predict --help"
    )
    assert "--start is for windows" in found("--segments", "--start", 1)[2]


def test_a_file_that_vanishes_and_one_whose_times_fail(
    checkpoint: Path, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def times(reader: Reader) -> object:
        return [1 / 0] if reader.path.endswith("z.mp4") else plain(reader)

    plain = Reader.times.fget  # type: ignore[attr-defined]
    monkeypatch.setattr(Reader, "times", property(times))
    given = [folder / name for name in ("a.mp4", NOT_UTF8, LONG, "z.mp4")]
    results = batch.predict_all(checkpoint, given, tmp_path / "out")
    done = [next(results)]
    given[2].unlink()
    done += results
    assert [isinstance(one, Prediction) for one in done] == [True, True, False, False]
    assert "no such file" in str(done[2])
    assert "ZeroDivisionError" in str(done[3])


@pytest.mark.slow
def test_a_picture_that_fails_loses_no_result(
    tool,
    checkpoint: Path,
    folder: Path,
    tmp_path: Path,
    monkeypatch,
) -> None:  # type: ignore[no-untyped-def]
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Figure, "savefig", full)
    status, out, err = tool("predict", checkpoint, folder, "--out", tmp_path / "out", "--json")
    assert len(json.loads(out)) == 5
    assert status == 0
    assert err.count("No space left on device: its timeline is not drawn") == 5
    written = [path.name for path in (tmp_path / "out").iterdir() if path.name[0] != "."]
    assert written == ["predictions.csv"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, ImportError])
def test_the_array_is_closed_whatever_ends_the_run(
    tool,
    checkpoint: Path,
    folder: Path,
    tmp_path: Path,
    monkeypatch,
    error,
) -> None:  # type: ignore[no-untyped-def]
    def ended(*_: object) -> None:
        raise error("over")

    monkeypatch.setattr(Prediction, "top", _after(2, Prediction.top, ended))
    status, out, _ = tool("predict", checkpoint, folder, "--out", tmp_path / "out", "--json")
    assert status == {KeyboardInterrupt: 130, ImportError: 2}[error]
    assert isinstance(json.loads(out), list)


def _after(count: int, plain, then):  # type: ignore[no-untyped-def]
    calls = []

    def call(*given: object) -> object:
        calls.append(given)
        return plain(*given) if len(calls) <= count else then()

    return call


@pytest.mark.slow
def test_a_polite_kill_leaves_valid_json(checkpoint: Path, folder: Path, tmp_path: Path) -> None:
    """SIGTERM while the second of many is at work: what was printed before stands."""
    given = [folder / "a.mp4"] * 5000
    with subprocess.Popen(
        [sys.executable, TOOLS / "predict.py", checkpoint, *given, "--out", tmp_path, "--json"],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        begin = "".join(process.stdout.readline() for _ in range(8))
        process.send_signal(signal.SIGTERM)
        found = json.loads(begin + process.stdout.read())
    assert 0 < len(found) < 5000
    assert process.returncode == 143


def test_pictures_of_somebody_elses_are_kept(checkpoint: Path, video: Path, tmp_path: Path) -> None:
    mine = tmp_path / f"{video.parent.name}_{video.name}.png"
    mine.write_text("mine")
    for _ in range(2):
        list(batch.predict_all(checkpoint, [video], tmp_path))
    assert mine.read_text() == "mine"
    assert len(list(tmp_path.glob("*.png"))) == 2
