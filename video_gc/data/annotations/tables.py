"""Tables with named columns: CSV, TSV, text separated by spaces or semicolons, Parquet."""

import csv
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet

from video_gc.data.annotations.groups import COLUMN as GROUP
from video_gc.data.annotations.groups import group_column
from video_gc.data.annotations.index_cache import converted, opened
from video_gc.data.annotations.labels import SEVERAL, number_labels
from video_gc.data.annotations.text_files import encoding_of, read_lines
from video_gc.data.index import DataError, VideoIndex
from video_gc.escape import MARKED
from video_gc.outputs import Outputs

SEPARATORS = ("\t", ",", ";", " ")


def read_table(
    file: Path,
    root: Path | None = None,
    names: Sequence[str] | None = None,
    *,
    columns: Mapping[str, str] | None = None,
    multi_label: bool = False,
    option: str = "data.{}_column=NAME",
) -> VideoIndex:
    """Index a table of videos.

    The first line names the columns; without names, columns are 0, 1, … A column named `group` has
    the group of each video; see groups.py.
    root: folder where relative paths start; the table's own folder by default.
    names: class names in order; without them as in `read_list`.
    columns: {path, label, start or end: name of the column in the table}; start and end of the
        labelled part of the file are in seconds.
    multi_label: a video has several labels, separated by ; or | (in Parquet also a list).
    option: user's option for a column, with {} for our name of it; for messages.

    Raises FileNotFoundError, or DataError with the existing columns or the line.
    """
    if not file.is_file():
        raise FileNotFoundError(f"{file}: no such table")
    wanted = {"path": "path", "label": "label"} | dict(columns or {})
    if not _unnamed(wanted) and GROUP in {*columns_in(file)} - {*wanted.values()}:
        wanted[GROUP] = GROUP
    folder = os.fspath(file.parent if root is None else root)

    def convert() -> VideoIndex:
        rows = read_columns(file, wanted, option)
        if not len(rows):
            raise DataError(f"{file}: the table is empty")
        paths, looked = _slashes(rows["path"], folder)
        found = {"path": paths, "label": _labels(rows["label"], multi_label)}
        for name in ("start", "end"):
            if name in wanted:
                found[name] = _seconds(rows[name], file, wanted[name])
        if GROUP in wanted:
            found[GROUP] = group_column(rows[GROUP])
        index = number_labels(
            pa.table(found), file, names, multi_label=multi_label,
            line=lambda row: line_of(file, row, header=not wanted["path"].isdigit()),
        )  # fmt: skip
        index.about = {"root": folder} if looked else {}
        return index

    options = {
        "format": "table",
        "columns": wanted,
        "multi_label": multi_label,
        "names": None if names is None else list(names),
    }
    return converted(file, options, folder, convert).with_root(folder)


def read_columns(file: Path, wanted: dict[str, str], option: str = "") -> pa.Table:
    """Some columns of a table, renamed: `wanted` is {our name: its name, or its number}.

    All are text, except the lists and numbers of a Parquet file.
    option: user's option for a column, with {} for our name of it.

    Raises DataError for a missing column, with the existing ones, or for a damaged file.
    """
    there = columns_in(file)
    if _unnamed(wanted):
        there = [str(number) for number in range(len(there))]
    for ours, name in wanted.items():
        if name not in there:
            hint = f"; name the right one with {option.format(ours)}" if option else ""
            raise DataError(f"{file}: no column {name!r}; its columns are {', '.join(there)}{hint}")
    names = list(wanted.values())
    try:
        if _is_parquet(file):
            with pa.parquet.ParquetFile(file) as stored:  # damaged statistics would crash
                table = stored.read(columns=names, use_threads=False)
        else:
            table = _read_text(file, names, there)
        table.validate(full=True)
    except (pa.ArrowException, UnicodeError, OSError) as error:
        _check_text(file)
        raise DataError(f"{file}: not a table ({_first_line(error)})") from error
    return table.select(names).rename_columns(list(wanted))


def columns_in(file: Path) -> list[str]:
    """The names of the columns. Raises DataError for a file that is not a table."""
    try:
        return pa.parquet.read_schema(file).names if _is_parquet(file) else columns_of(file)
    except (pa.ArrowException, UnicodeDecodeError, OSError) as error:
        raise DataError(f"{file}: not a table ({_first_line(error)})") from error


def _unnamed(wanted: Mapping[str, str]) -> bool:
    """Whether columns are given by number, because the first line has no names."""
    return all(name.isdigit() for name in wanted.values())


def _is_parquet(file: Path) -> bool:
    return file.suffix.lower() == ".parquet"


def columns_of(file: Path) -> list[str]:
    """The column names in the first line of a text table. Raises DataError for other files."""
    try:
        with file.open(encoding=encoding_of(file), newline="") as stream:
            first: list[str] = next(csv.reader(stream, delimiter=_separator(file)), [])
    except (UnicodeDecodeError, csv.Error) as error:
        _check_text(file)
        raise DataError(f"{file}: not a table ({_first_line(error)})") from error
    return [name.strip().removeprefix("\ufeff") for name in first]


def line_of(file: Path, row: int, *, header: bool = True) -> str:
    """ "line 12" of a text, or "row 11" of a Parquet file, for a row counted from 0."""
    if _is_parquet(file):
        return f"row {row + 1}"
    with file.open(encoding=encoding_of(file), newline="") as stream:
        reader = csv.reader(stream, delimiter=_separator(file))
        filled = -header
        for cells in reader:
            if cells:
                if filled == row:
                    return f"line {reader.line_num}"
                filled += 1
    return f"row {row + 1}"


def _separator(file: Path) -> str:
    with file.open(encoding=encoding_of(file)) as stream:
        first = stream.readline().removeprefix("\ufeff")
    return next((separator for separator in SEPARATORS if separator in first.strip()), ",")


def _read_text(file: Path, names: list[str], there: list[str]) -> pa.Table:
    header = not all(name.isdigit() for name in names)
    with opened(file) as stream:
        reader = pa.csv.open_csv(
            stream,
            read_options=pa.csv.ReadOptions(
                column_names=there, skip_rows=int(header), encoding=encoding_of(file)
            ),
            parse_options=pa.csv.ParseOptions(delimiter=_separator(file), newlines_in_values=True),
            convert_options=pa.csv.ConvertOptions(
                include_columns=names,
                column_types=dict.fromkeys(names, pa.large_string()),
                strings_can_be_null=False,
            ),
        )
        table = reader.read_all()
    if not Outputs(file.parent).is_ours(file.name):
        return table
    # our own tables, such as segments.csv, mark a text that looks like a formula
    plain = [pc.replace_substring_regex(column, MARKED, r"\1") for column in table.columns]
    return pa.table(plain, table.schema)


def _slashes(paths: pa.ChunkedArray, root: str) -> tuple[pa.ChunkedArray, bool]:
    """Windows paths with this system's slashes, and whether looking at the disk decided it."""
    paths = paths.cast(pa.large_string()).fill_null("")
    windows = paths.filter(pc.match_substring(paths, "\\"))
    if not len(windows):
        return paths, False
    if os.path.lexists(os.path.join(root, windows[0].as_py())):
        return paths, True
    return pc.replace_substring(paths, "\\", "/"), True


def _labels(column: pa.ChunkedArray, multi_label: bool) -> pa.ChunkedArray:
    if pa.types.is_list(column.type) or pa.types.is_large_list(column.type):
        return column.cast(pa.list_(pa.large_string()))
    text = pc.utf8_trim_whitespace(column.cast(pa.large_string()).fill_null(""))
    if not multi_label:
        return text
    return pc.split_pattern_regex(text, rf"\s*{SEVERAL}\s*").cast(pa.list_(pa.large_string()))


def _seconds(column: pa.ChunkedArray, file: Path, name: str) -> pa.ChunkedArray:
    if pa.types.is_large_string(column.type):
        column = pc.if_else(pc.equal(column, ""), pa.scalar(None, column.type), column)
    try:
        return column.cast(pa.float64())
    except pa.ArrowInvalid as error:
        raise DataError(f"{file}: column {name!r} must hold seconds ({error})") from error


def _check_text(file: Path) -> None:
    """Raise DataError with the first line that is not text, if that is the cause."""
    if not _is_parquet(file):
        read_lines(file, "a table")


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0][:200]
