"""Several processes that are stopped, and started again, end as if they had not been."""

import signal
from pathlib import Path

from tests.engine.ranks.many import kill_all, options, send_all, train_forked
from tests.engine.resume.killing import at_call, end_state, rows, same
from video_gc.engine.task import RecognitionTask


def newest(run: Path) -> str:
    return (run / "checkpoints/last.ckpt").resolve().stem


def test_killed_in_an_epoch_they_end_the_same(clips_folder: Path, tmp_path: Path) -> None:
    """A step takes two parts: the kill comes between those of the fourth."""
    whole = options(clips_folder, tmp_path / "whole")
    assert train_forked(whole) == [0, 0]
    given = options(clips_folder, tmp_path / "killed")
    killed = (1, RecognitionTask, "training_step", lambda plain: at_call(8, kill_all, plain))
    assert train_forked(given, killed) == [-signal.SIGKILL] * 2
    runs = tmp_path / "whole/run", tmp_path / "killed/run"
    assert newest(runs[1]) == "step-00000003"
    assert train_forked(given) == [0, 0]
    one, other = (end_state(run) for run in runs)
    noise = one["random"]["processes"]
    assert len(noise) == 2
    assert not same(*(states["torch"] for states in noise))
    assert same(one, other)
    assert same(*(end_state(run, "best.ckpt") for run in runs))
    assert rows(runs[0]) == rows(runs[1])


def test_sigterm_stops_all_at_the_same_step(clips_folder, tmp_path, capfd) -> None:
    whole = options(clips_folder, tmp_path / "whole")
    assert train_forked(whole) == [0, 0]
    capfd.readouterr()
    given = options(clips_folder, tmp_path / "term", "checkpoint.every_steps=null")
    term = (
        1,
        RecognitionTask,
        "training_step",
        lambda plain: at_call(6, send_all(signal.SIGTERM), plain),
    )
    assert train_forked(given, term) == [143, 143]
    said = capfd.readouterr().err
    print("SAID", said)
    runs = tmp_path / "whole/run", tmp_path / "term/run"
    assert newest(runs[1]) == "step-00000003"
    val = (
        0,
        RecognitionTask,
        "validation_step",
        lambda plain: at_call(1, send_all(signal.SIGTERM), plain),
    )
    assert train_forked(given, val) == [143, 143]
    print("SAID2", capfd.readouterr().err)
    assert newest(runs[1]) == "step-00000004"
    assert train_forked(given) == [0, 0]
    assert same(*map(end_state, runs))
    assert rows(runs[0]) == rows(runs[1])


def test_a_number_that_is_not_finite_on_one_of_them(clips_folder, tmp_path, capfd) -> None:
    given = options(clips_folder, tmp_path, "checkpoint.every_steps=1")

    def spoil(plain):
        calls = []

        def step(task, batch, index):
            calls.append(index)
            return plain(task, batch, index) * (float("nan") if len(calls) == 5 else 1)

        return step

    assert train_forked(given, (1, RecognitionTask, "training_step", spoil)) == [1, 1]
    said = capfd.readouterr().err
    print("SAID", said)
    assert said.count("the loss is NaN or infinite at step 3") == 1
    with (tmp_path / "run/not_finite.csv").open() as stream:
        assert len(stream.readlines()) == 2
    assert newest(tmp_path / "run") == "step-00000002"


def test_damaged(clips_folder, damaged, tmp_path, capfd) -> None:
    import csv

    lines = [f"{path} {path.parent.name}" for path in sorted(clips_folder.rglob("*.mp4"))]
    (tmp_path / "val.txt").write_text("\n".join(lines[:6]))
    (tmp_path / "train.txt").write_text(
        "\n".join([*lines, f"{damaged['text']} bright", f"{damaged['zero-byte']} bright"])
    )
    own = [
        "data=list",
        f"data.train={tmp_path}/train.txt",
        f"data.val={tmp_path}/val.txt",
        "accumulate=1",
    ]

    def given(name):
        return [
            *[
                o
                for o in options(clips_folder, tmp_path, *own, f"name={name}")
                if not o.startswith(("data=folder", "data.root", "name=run"))
            ]
        ]

    assert train_forked(given("whole")) == [0, 0]
    killed = (1, RecognitionTask, "training_step", lambda plain: at_call(5, kill_all, plain))
    assert train_forked(given("killed"), killed) == [-9, -9]
    assert train_forked(given("killed")) == [0, 0]
    print("SAID", capfd.readouterr().err)
    one, two = (
        sorted(
            tuple(row.values()) for row in csv.DictReader((tmp_path / run / "skipped.csv").open())
        )
        for run in ("whole", "killed")
    )
    print(one)
    assert one == two
    assert same(end_state(tmp_path / "whole"), end_state(tmp_path / "killed"))
