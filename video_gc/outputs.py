"""The files that this program wrote to a folder: it replaces and removes only those.

A folder of results has a note with a line for each file written or removed. Lines are only
appended, so several programs may write to one folder, and a killed program loses no line.
"""

import csv
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import chain
from pathlib import Path

from video_gc.atomic import NO_LINK, atomic_path, fitting_name, read_journal
from video_gc.escape import csv_cell, csv_text

NOTE = ".video_gc-outputs.jsonl"


class Outputs:
    """The results in one folder, which need not exist yet."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._ours, self._taken = _read(folder / NOTE), set[str]()

    def is_ours(self, name: str) -> bool:
        """Whether this program wrote the file of that name, according to the note."""
        if name not in self._ours and os.path.lexists(self.folder / name):
            self._ours |= _read(self.folder / NOTE)  # another process may have added lines
        return name in self._ours

    def names(self) -> list[str]:
        """All files that this program wrote according to the note, in order."""
        return sorted(self._ours)

    def check(self, names: Iterable[str]) -> None:
        """Raise FileExistsError for files that this program did not write, naming them."""
        found = [
            self.folder / name
            for name in names
            if not self.is_ours(name) and os.path.lexists(self.folder / name)
        ]
        if found:
            more = f" and {len(found) - 1} more" if found[1:] else ""
            raise FileExistsError(
                f"{found[0]}{more}: exists, and video_gc did not write it, so it is "
                "kept; move it, or write to another place"
            )

    @contextmanager
    def path(self, name: str) -> Iterator[Path]:
        """`atomic_path` of a result. Raises FileExistsError if a foreign file has its name."""
        self.check([name])
        ours = self.is_ours(name)
        noted = False
        try:
            with atomic_path(self.folder / name, replace=ours) as part:
                yield part
                noted = not self.is_ours(name)
                if noted:
                    self._note("wrote", name)
        except FileExistsError:  # a foreign file has appeared meanwhile
            if noted:
                self._note("removed", name)
            raise
        self._ours.add(name)

    def claim(self, name: str) -> Path:
        """The path of a file to append to, noted before it exists; raises as `check`."""
        self.check([name])
        if not self.is_ours(name):
            self.folder.mkdir(parents=True, exist_ok=True)
            self._note("wrote", name)
            self._ours.add(name)
        return self.folder / name

    def remove(self, name: str) -> bool:
        """Remove a result if it is ours; returns whether it existed."""
        if not self.is_ours(name):
            return False
        there = os.path.lexists(self.folder / name)
        (self.folder / name).unlink(missing_ok=True)
        self._note("removed", name)
        self._ours = _read(self.folder / NOTE)
        if not self._ours:
            (self.folder / NOTE).unlink()
        return there

    def free(self, stem: str, *suffixes: str) -> str:
        """A stem that, with any of the suffixes, is not the name of another file of this job or a
        foreign file; shortened for the file system, or with a number added.
        """
        number, longest = 1, max(suffixes, key=len)
        while True:
            full = fitting_name(stem if number == 1 else f"{stem}-{number}", longest)
            found = full.removesuffix(longest)
            names = [f"{found}{suffix}" for suffix in suffixes]
            mine = (self.is_ours(n) or not os.path.lexists(self.folder / n) for n in names)
            key = found.casefold()  # some disks ignore case
            if key not in self._taken and all(mine):
                self._taken.add(key)
                return found
            number += 1

    def _note(self, what: str, name: str) -> None:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | NO_LINK
        handle = os.open(self.folder / NOTE, flags, 0o666)
        try:  # also after an incomplete line
            os.write(handle, f"\n{json.dumps([what, name])}\n".encode())
        finally:
            os.close(handle)


@contextmanager
def output_path(file: Path) -> Iterator[Path]:
    """`Outputs.path` of one file."""
    with Outputs(file.parent).path(file.name) as part:
        yield part


def write_output(file: Path, text: str) -> Path:
    """Write UTF-8 text atomically; raises FileExistsError if a foreign file has the name."""
    with output_path(file) as part:
        part.write_text(text, encoding="utf-8", errors="backslashreplace")
    return file


def write_csv(file: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> Path:
    """Write a CSV file atomically; raises FileExistsError if a foreign file has the name.

    UTF-8; other bytes in names are escaped, as in caf\\xe9.mp4, and so are control characters. A
    text that a spreadsheet would read as a formula gets an apostrophe before it.
    """
    with output_path(file) as part:
        fill_csv(part, header, rows)
    return file


def fill_csv(part: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write the lines of `write_csv` to an open file; cells are those of `csv_cell`."""
    with part.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows(
            [csv_cell(cell) for cell in row] for row in chain([header], rows)
        )


def read_csv(file: Path) -> tuple[list[str], list[dict[str, str]]]:
    """Header and rows of a file of `write_csv`; names are restored, except for escapes.

    As in csv.DictReader, a row of too many cells has a key None, one of too few has values None.
    """
    with file.open(newline="", encoding="utf-8") as stream:
        header = [csv_text(name) for name in next(csv.reader(stream), [])]
        rows = list(csv.DictReader(stream, header))
    for row in rows:
        row |= {name: csv_text(cell) for name, cell in row.items() if isinstance(cell, str)}
    return header, rows


def _read(note: Path) -> set[str]:
    """The names that were written and not removed."""
    names: set[str] = set()
    for line in read_journal(note):
        with suppress(ValueError, TypeError):  # a line of another program
            what, name = line
            (names.add if what == "wrote" else names.discard)(name)
    return names
