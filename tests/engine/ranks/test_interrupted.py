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
    assert len(noise) == 2 and not same(*(states["torch"] for states in noise))
    assert same(one, other)
    assert same(*(end_state(run, "best.ckpt") for run in runs))
    assert rows(runs[0]) == rows(runs[1])


def test_sigterm_stops_all_at_the_same_step(clips_folder, tmp_path, capfd) -> None:
    whole = options(clips_folder, tmp_path / "whole")
    assert train_forked(whole) == [0, 0]
    capfd.readouterr()
    given = options(clips_folder, tmp_path / "term", "checkpoint.every_steps=null")
    term = (1, RecognitionTask, "training_step", lambda plain: at_call(6, send_all(signal.SIGTERM), plain))
    assert train_forked(given, term) == [143, 143]
    said = capfd.readouterr().err
    print("SAID", said)
    runs = tmp_path / "whole/run", tmp_path / "term/run"
    assert newest(runs[1]) == "step-00000003"
    val = (0, RecognitionTask, "validation_step", lambda plain: at_call(1, send_all(signal.SIGTERM), plain))
    assert train_forked(given, val) == [143, 143]
    print("SAID2", capfd.readouterr().err)
    assert newest(runs[1]) == "step-00000004"
    assert train_forked(given) == [0, 0]
    assert same(*map(end_state, runs))
    assert rows(runs[0]) == rows(runs[1])
