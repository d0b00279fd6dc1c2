"""What a tool says when it is called wrongly."""

import pytest
import torch

from video_gc.cli import Parser, run_tool, with_home
from video_gc.data.index import DataError


@pytest.mark.parametrize("typed", ["precision=bf16", "test.precision=bf16"])
def test_an_option_of_train_is_translated(typed: str) -> None:
    parser = Parser(prog="test.py")
    parser.add_argument("videos", nargs="*")  # it is no path
    parser.add_argument("--precision")
    with pytest.raises(
        ValueError, match="options have dashes; write --precision bf16; see test.py"
    ):
        parser.parse_args([typed])


def test_an_option_that_no_tool_has_is_not() -> None:
    parser = Parser(prog="test.py")
    parser.add_argument("--precision")
    with pytest.raises(
        ValueError, match=r"unrecognized arguments: precise=bf16; see test.py --help"
    ):
        parser.parse_args(["precise=bf16"])


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        (["--clip", "2"], " (did you mean --clips?)"),
        (["--clip=2"], " (did you mean --clips?)"),
        (["-clips", "2"], " (did you mean --clips?)"),
        (["--cilps", "2"], " (did you mean --clips?)"),
        (["--w", "2"], " (did you mean --weights or --workers?)"),
        (["--colour", "2"], ""),
    ],
)
def test_an_option_is_written_in_full(typed: list[str], meant: str) -> None:
    parser = Parser(prog="test.py")
    check = parser.add_subparsers().add_parser("check")
    for name in ("--clips", "--weights", "--workers"):
        check.add_argument(name)
    with pytest.raises(ValueError, match="unrecognized arguments: -") as refused:
        parser.parse_args(["check", *typed])
    assert str(refused.value) == (
        f"unrecognized arguments: {' '.join(typed)}{meant}; see test.py check --help"
    )


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB. GPU 0 has …\n1"),
         "CUDA out of memory"),
        (RuntimeError("CUDA error: out of memory\nSearch for …"),
         "CUDA error: out of memory"),
        (RuntimeError("[…] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes. Error"),
         "DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
        (MemoryError("Unable to allocate 8 EiB"), "the memory is full (Unable to allocate 8 EiB)"),
    ],
)  # fmt: skip
def test_a_full_memory_is_one_line_with_ways_out(
    error: Exception, said: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full() -> None:
        raise error

    for tool, way in (
        ("train.py", "; give accumulate=2"),
        ("test.py", "; give a smaller --micro"),
        ("x", ""),
    ):
        monkeypatch.setattr("sys.argv", [tool])
        with pytest.raises(SystemExit) as ended:
            run_tool(full)
        assert ended.value.code == 1
        (line,) = "".join(capsys.readouterr()).splitlines()
        assert line.endswith(said) if not way else f"{said}{way}" in line


def test_a_file_named_after_a_full_memory_is_no_full_memory(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def damaged() -> None:
        raise DataError("out of memory.csv: is damaged; make it again")

    with pytest.raises(SystemExit):
        run_tool(damaged)
    assert "out of memory.csv: is damaged; make it again" in "".join(capsys.readouterr())


def test_the_home_directory_after_an_equals_sign(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    for typed, meant in (
        ("data.root=~/my clips", "data.root=/home/me/my clips"), ("--root=~", "--root=/home/me"),
        ("~/a.mp4", "/home/me/a.mp4"), ("data.root='~/x'", "data.root='/home/me/x'"),
        ("~data.root", "~data.root"), ("name=a~/b", "name=a~/b"), ("--top", "--top"), ("~you/a", "~you/a"),
    ):  # fmt: skip
        assert with_home(typed) == meant
