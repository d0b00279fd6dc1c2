"""How long a process may take for a file."""

from pathlib import Path

from video_gc.data.prepare.jobs import patience


def test_patience_grows_with_the_file(tmp_path: Path) -> None:
    (tmp_path / "a.avi").write_bytes(bytes(1_000_000))
    assert patience(tmp_path / "a.avi", 60) == 122
    assert patience(tmp_path / "gone.avi", 60) == 120
