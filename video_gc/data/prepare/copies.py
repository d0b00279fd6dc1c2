"""The places of the copies of a folder of videos, and which copies this program wrote."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from video_gc.atomic import fitting_name, journal, read_journal, remove_stale_parts
from video_gc.decode.video_facts import stamp

MADE = ".resize-made.jsonl"
"""The journal in the folder of the copies: one line per copy, with the original file. Before a copy
is begun, the line has its name only; afterwards also the original's name, size in bytes and
modification time, and the copy's size."""


@dataclass(frozen=True)
class Copy:
    """A file, its copy, and the work to do."""

    source: Path
    target: Path
    origin: tuple[str, int, int] = ("", 0, 0)
    """of `source`: its name, size in bytes and modification time"""
    replaces: bool = False
    """an older copy exists"""


@dataclass(frozen=True)
class Plan:
    """The copies to make, to keep, and those that are impossible."""

    todo: list[Copy] = field(default_factory=list)
    kept: list[Copy] = field(default_factory=list)
    failed: list[tuple[Path, str]] = field(default_factory=list)
    """file and cause"""

    @property
    def total(self) -> int:
        """Number of files in the source."""
        return len(self.todo) + len(self.kept) + len(self.failed)


def plan_copies(files: Sequence[Path], source: Path, target: Path) -> Plan:
    """Plan a copy below `target` of each of the `files` below `source`.

    A copy of the same file, with the same size and time, is kept. A file that is not in the journal
    belongs to somebody else.

    Raises FileExistsError, with their names, if such files are in the way.
    """
    made: dict[str, tuple[object, ...]] = {}
    for line in read_journal(target / MADE):
        if isinstance(line, list) and line and isinstance(line[0], str):
            made[line[0]] = tuple(line[1:])
    plan, foreign = Plan(), []
    for file, copy in zip(files, copy_names(files, source, target), strict=True):
        try:
            origin = (_name(file, source), *stamp(file))
        except OSError as error:
            plan.failed.append((file, error.strerror or str(error)))
            continue
        there = os.path.lexists(copy)
        known = made.get(_name(copy, target))
        if there and (known is None or not _is_copy(copy, known)):
            foreign.append(copy)
        elif there and known is not None and known[:3] == origin:
            plan.kept.append(Copy(file, copy, origin))
        else:
            plan.todo.append(Copy(file, copy, origin, replaces=there))
    if foreign:
        more = f" and {len(foreign) - 1} more" if foreign[1:] else ""
        raise FileExistsError(
            f"{foreign[0]}{more}: exists, and {target / MADE} does not say that resize wrote it, "
            "so it is kept; move it, or give another folder"
        )
    return plan


@contextmanager
def journal_of_copies(
    plan: Plan, target: Path
) -> Iterator[tuple[Iterator[Copy], Callable[[Copy], None]]]:
    """Yield the copies to make, noting each one, and a function that notes a finished copy.

    Removes unfinished files of a killed process, before and after.
    Raises BlockingIOError if another resize is writing to `target`.
    """
    folders = {copy.target.parent for copy in (*plan.todo, *plan.kept)}
    with journal(target / MADE, what="resize", way="another folder") as note:

        def begun() -> Iterator[Copy]:
            for copy in plan.todo:
                note([_name(copy.target, target)])
                yield copy

        def done(copy: Copy) -> None:
            note([_name(copy.target, target), *copy.origin, copy.target.stat().st_size])

        for folder in folders:
            remove_stale_parts(folder)
        try:
            yield begun(), done
        finally:
            for folder in folders:
                remove_stale_parts(folder)


def check_separate(files: Sequence[Path], source: Path, target: Path) -> None:
    """Raise ValueError if copies would be written into a folder of originals, or above one.

    Folders are compared by device and inode, so links and the case of letters do not matter.
    """
    if _identity(target) in _ancestors(source):
        raise ValueError(f"{target}: must not lie in {source}, nor contain it; give another folder")
    folders = {file.parent for file in files}
    originals = {_identity(folder): folder for folder in (source, *folders)}
    linked = {
        _identity(Path(os.path.realpath(file)).parent): file for file in files if file.is_symlink()
    }
    for folder in {target, *(target / folder.relative_to(source) for folder in folders)}:
        chain = _ancestors(folder)
        found = next((originals[each] for each in chain if each in originals), None)
        if found is None and folder.exists():
            found = linked.get(_identity(folder))
        if found is not None:
            raise ValueError(
                f"{folder}: must not lie in {source}, nor lead into it (to {found}); give another "
                "folder, without links to the originals"
            )


def copy_names(files: Sequence[Path], source: Path, target: Path) -> list[Path]:
    """target/CLASS/name.mp4; name.avi.mp4 if two files of a folder would get the same name."""
    taken = {file for file in files if file.suffix == ".mp4"}
    targets = []
    for file in files:
        copy = file.with_name(fitting_name(file.stem, ".mp4"))
        number = 1
        while copy != file and copy in taken:
            stem = file.name if number == 1 else f"{file.name}-{number}"
            copy, number = file.with_name(fitting_name(stem, ".mp4")), number + 1
        taken.add(copy)
        targets.append(target / copy.relative_to(source))
    return targets


def _is_copy(copy: Path, known: tuple[object, ...]) -> bool:
    """Whether the file is still the noted one; an unfinished one has no size."""
    size = known[3] if len(known) > 3 else None
    return copy.is_file() and not copy.is_symlink() and size in (None, copy.stat().st_size)


def _identity(folder: Path) -> tuple[int, int] | None:
    """The identity of a folder on this machine; None if it does not exist."""
    try:
        status = folder.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _ancestors(folder: Path) -> list[tuple[int, int]]:
    """The folder, with links resolved, and all existing folders above it."""
    real = Path(os.path.realpath(folder))
    return [found for each in (real, *real.parents) if (found := _identity(each)) is not None]


def _name(file: Path, root: Path) -> str:
    return file.relative_to(root).as_posix()
