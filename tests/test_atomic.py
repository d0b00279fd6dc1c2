"""Files that are complete or not there, whatever lies beside them, and who wrote them."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from video_gc.atomic import (
    atomic_path,
    fitting_name,
    journal,
    part_name,
    remove_stale_parts,
    write_text,
)
from video_gc.locks import locked
from video_gc.outputs import NOTE, Outputs, write_csv, write_output

WAITS = """
import sys
from pathlib import Path
from video_gc.atomic import atomic_path
with atomic_path(Path(sys.argv[1])) as part:
    print(part, flush=True)
    sys.stdin.read()
"""


def visible(folder: Path) -> set[str]:
    return {path.name for path in folder.glob("[!.]*")}


def test_nobody_can_guess_the_name_of_an_unfinished_file(tmp_path: Path) -> None:
    names = {part_name(tmp_path / "a.mp4").name for _ in range(100)}
    assert len(names) == 100
    assert all(name.endswith(".mp4") for name in names)
    assert len(part_name(tmp_path / f"a.{'x' * 240}").name) < 60


def test_a_planted_link_is_not_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "precious").write_text("mine")
    monkeypatch.setattr("secrets.token_hex", lambda _: "0" * 16)  # the worst case: it was guessed
    part_name(tmp_path / "a.txt").symlink_to(tmp_path / "precious")
    with pytest.raises(FileExistsError):
        write_text(tmp_path / "a.txt", "ours")
    assert (tmp_path / "precious").read_text() == "mine"


def test_an_error_leaves_what_was_there_and_nothing_else(tmp_path: Path) -> None:
    write_text(tmp_path / "a.txt", "old")
    with pytest.raises(KeyboardInterrupt), atomic_path(tmp_path / "a.txt") as part:
        part.write_text("half")
        raise KeyboardInterrupt
    assert (tmp_path / "a.txt").read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("links", [True, False])
def test_a_new_file_replaces_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool
) -> None:
    if not links:
        monkeypatch.delattr(os, "link")
        monkeypatch.setattr(os, "link", _no_links, raising=False)
    with atomic_path(tmp_path / "b.txt", replace=False) as part:
        part.write_text("ours")
    assert (tmp_path / "b.txt").read_text() == "ours"
    with (
        pytest.raises(FileExistsError, match=r"a.txt: already exists"),
        atomic_path(tmp_path / "a.txt", replace=False),
    ):
        (tmp_path / "a.txt").write_text("mine")  # it came while ours was made
    assert (tmp_path / "a.txt").read_text() == "mine"
    assert len(list(tmp_path.iterdir())) == 2


def _no_links(*_: object) -> None:
    raise PermissionError(1, "no hard links here")


def test_permissions_are_those_of_any_other_file(tmp_path: Path) -> None:
    (tmp_path / "plain").touch()
    write_text(tmp_path / "ours", "")
    assert (tmp_path / "plain").stat().st_mode == (tmp_path / "ours").stat().st_mode


def test_what_a_kill_left_goes_and_what_is_being_written_stays(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", WAITS, str(tmp_path / "a.txt")],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    part = Path(process.stdout.readline().strip())
    (tmp_path / ".video_gc-notes.part1.txt").touch()  # somebody's own
    remove_stale_parts(tmp_path)
    assert part.is_file()
    process.kill()
    process.communicate()
    assert part.is_file()
    remove_stale_parts(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [".video_gc-notes.part1.txt"]
    remove_stale_parts(tmp_path / "nowhere")


def test_long_names_fit_and_stay_different(tmp_path: Path) -> None:
    assert fitting_name("a", ".png") == "a.png"
    for letter in ("x", "é", "視"):
        stem = letter * (250 // len(letter.encode()))
        one, two = fitting_name(f"{stem}-one", ".png"), fitting_name(f"{stem}-two", ".png")
        assert one != two
        for name in (one, two):
            assert len(os.fsencode(name)) <= 255
            assert name.startswith(letter * 20)
            write_text(tmp_path / name, "")


def test_only_what_the_note_lists_is_replaced_or_removed(tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_text("mine")
    with pytest.raises(
        FileExistsError, match=r"mine.csv: exists, and video_gc did not write it, .* kept"
    ):
        write_csv(tmp_path / "mine.csv", ["a"], [])
    assert not Outputs(tmp_path).remove("mine.csv")
    assert (tmp_path / "mine.csv").read_text() == "mine"
    write_output(tmp_path / "ours.txt", "1")
    write_output(tmp_path / "ours.txt", "2")
    assert (tmp_path / "ours.txt").read_text() == "2"
    assert Outputs(tmp_path).remove("ours.txt")
    (tmp_path / "ours.txt").write_text("mine now")
    assert not Outputs(tmp_path).remove("ours.txt")
    outputs = Outputs(tmp_path)
    with pytest.raises(FileExistsError, match="mine.csv and 1 more: exists"):
        outputs.check(["mine.csv", "new.csv", "ours.txt"])
    assert visible(tmp_path) == {"mine.csv", "ours.txt"}


def test_a_failure_notes_nothing_and_a_torn_note_is_read(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="disk"), Outputs(tmp_path).path("a"):
        raise OSError("disk")
    (tmp_path / "a").write_text("mine")
    assert not Outputs(tmp_path).is_ours("a")
    write_output(tmp_path / "b", "ours")
    with (tmp_path / NOTE).open("ab") as stream:
        stream.write(b'["wrote", "caf\xe9')
    write_output(tmp_path / "c", "ours")
    assert [name for name in "abc" if Outputs(tmp_path).is_ours(name)] == ["b", "c"]


def test_what_comes_while_a_result_is_made_is_not_ours(tmp_path: Path) -> None:
    with pytest.raises(FileExistsError, match="is kept"), Outputs(tmp_path).path("a") as part:
        part.write_text("ours")
        (tmp_path / "a").write_text("mine")
    assert not Outputs(tmp_path).is_ours("a")
    assert (tmp_path / "a").read_text() == "mine"


def test_two_processes_know_of_each_other(tmp_path: Path) -> None:
    one, two = Outputs(tmp_path), Outputs(tmp_path)
    with one.path("a") as part:
        part.write_text("1")
    with two.path("a") as part:
        part.write_text("2")
    assert (tmp_path / "a").read_text() == "2"


def test_free_names(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_text("mine")
    outputs = Outputs(tmp_path)
    assert [outputs.free(stem, ".png") for stem in "aAbB"] == ["a-2", "A", "b", "B-2"]
    with outputs.path("a-2.png") as part:
        part.touch()
    assert Outputs(tmp_path).free("a", ".png") == "a-2"
    assert Outputs(tmp_path).free("a", ".mp4", ".png") == "a-2"
    assert Outputs(tmp_path).free("a", ".mp4") == "a"
    long = [outputs.free("x" * 300, ".mp4", ".webp") for _ in range(3)]
    assert len({*long}) == 3
    assert {len(name) for name in long} == {250}


def test_names_that_are_not_utf8_are_escaped(tmp_path: Path) -> None:
    odd = os.fsdecode(b"caf\xe9.mp4")
    write_csv(tmp_path / "a.csv", ["path"], [[odd]])
    write_output(tmp_path / "a.txt", odd)
    write_text(tmp_path / "b.txt", odd)
    assert (tmp_path / "a.csv").read_text("utf-8") == "path\ncaf\\xe9.mp4\n"
    assert (tmp_path / "a.txt").read_text("utf-8") == "caf\\udce9.mp4"
    assert (tmp_path / "b.txt").read_text("utf-8") == "caf\\udce9.mp4"


def test_a_pipe_or_link_in_place_of_a_note_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / NOTE)
    with pytest.raises(FileExistsError, match="a pipe or a folder, not our file"):
        write_output(tmp_path / "a.txt", "a")
    (tmp_path / "theirs").write_text("theirs")
    (tmp_path / "link").symlink_to("theirs")
    with pytest.raises(FileExistsError), journal(tmp_path / "link", what="check", way="--out X"):
        pass
    assert (tmp_path / "theirs").read_text() == "theirs"


def test_a_lock_leaves_no_empty_folders(tmp_path: Path) -> None:
    def failing(directory: Path) -> None:
        with pytest.raises(ValueError, match="wrong"), locked(directory):
            raise ValueError("wrong")

    failing(tmp_path / "runs" / "a")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "mine.txt").write_text("mine")
    failing(tmp_path / "runs" / "a")
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["mine.txt"]


def test_a_lock_ends_with_its_process_though_a_child_lives_on(tmp_path: Path) -> None:
    program = (
        "import os, signal, sys, time; from pathlib import Path; from video_gc.locks import locked\n"
        "with locked(Path(sys.argv[1])):\n"
        "    if os.fork() == 0: print(os.getpid(), flush=True); time.sleep(60)\n"
        "    sys.stdin.readline(); os.kill(os.getpid(), signal.SIGKILL)"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", program, tmp_path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with holder:
        assert holder.stdout is not None
        assert holder.stdin is not None
        child = int(holder.stdout.readline())
        with pytest.raises(BlockingIOError, match=f"process {holder.pid} on "), locked(tmp_path):
            pass
        holder.stdin.close()
        holder.wait()
        with locked(tmp_path):
            os.kill(child, signal.SIGKILL)
