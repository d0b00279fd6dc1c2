"""A list of millions of videos: a table with a column of paths or addresses, or a line for each."""

import os
from hashlib import blake2b
from pathlib import Path

import fsspec
import pyarrow as pa
import pyarrow.compute as pc

from video_gc.data.annotations.tables import columns_in, read_columns
from video_gc.data.annotations.text_files import numbered_lines
from video_gc.data.index import DataError
from video_gc.data.shards.store import PROTOCOL, check_address
from video_gc.extras import install_line

TABLES = (".parquet", ".csv", ".tsv")
COLUMNS = ("path", "video", "url")
"""Names of the column, if none is given."""
TEXT = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view, pa.types.is_null)


def read_list(file: Path, column: str | None = None, root: Path | None = None) -> pa.ChunkedArray:
    """The paths and addresses in a list, in its order.

    file: Parquet, CSV or TSV with the column `column`, by default path, video or url; any other
        file is text with one of them in each line, in which empty lines do not count.
    root: where relative paths start; by default at the list.

    Raises FileNotFoundError; DataError for a file that is no such list, or is empty; ImportError
    with the install line if an address needs a library that is missing.
    """
    if file.is_dir():
        raise DataError(
            f"{file}: a folder; video-gc predict takes folders, and "
            f"`find {file} -type f > list.txt` makes a list"
        )
    if not file.is_file():
        raise FileNotFoundError(f"{file}: no such list of videos")
    if file.suffix.lower() in TABLES:
        name = column or _column(file)
        paths = read_columns(file, {"path": name}, "--column NAME")["path"]
        kind = paths.type.value_type if pa.types.is_dictionary(paths.type) else paths.type
        if not any(is_text(kind) for is_text in TEXT):
            raise DataError(f"{file}: column {name!r} holds {kind}, and no paths; give --column")
        paths = pc.utf8_trim_whitespace(paths.cast(pa.large_string()).fill_null(""))
    else:
        with file.open("rb") as stream:
            lines = (line.strip() for _, line in numbered_lines(stream, file, "a list of videos"))
            paths = pa.chunked_array([pa.array(filter(None, lines), pa.large_string())])
    if not len(paths):
        raise DataError(f"{file}: the list is empty")
    _check_protocols(file, paths)
    folder = os.path.abspath(file.parent if root is None else root)
    relative = pc.invert(pc.match_substring_regex(paths, f"^(/|{PROTOCOL}://|$)"))
    start = pa.scalar(f"{folder}/", pa.large_string())
    placed = pc.binary_join_element_wise(start, paths, pa.scalar("", pa.large_string()))
    return pc.if_else(relative, placed, paths)


def list_hash(paths: pa.ChunkedArray) -> str:
    """16 hexadecimal digits that change with any path, and with their order."""
    digest = blake2b(digest_size=8)
    for start in range(0, len(paths), 100_000):
        digest.update("\n".join(paths.slice(start, 100_000).to_pylist()).encode() + b"\n")
    return digest.hexdigest()


def _column(file: Path) -> str:
    there = columns_in(file)
    found = [name for name in COLUMNS if name in there]
    if not found:
        raise DataError(
            f"{file}: no column {', '.join(COLUMNS[:-1])} or {COLUMNS[-1]}; its columns are "
            f"{', '.join(there)}; name the right one with --column NAME"
        )
    return found[0]


def _check_protocols(file: Path, paths: pa.ChunkedArray) -> None:
    """Before a million rows fail for one missing library."""
    found = pc.drop_null(pc.extract_regex(paths, f"^(?P<name>{PROTOCOL})://"))
    for protocol in pc.unique(pc.struct_field(found, "name")).to_pylist():
        try:
            check_address(f"{protocol}://")
            fsspec.get_filesystem_class(protocol.lower())
        except ImportError as error:
            raise ImportError(f"{protocol}://: {error}; {install_line('scale')}") from None
        except ValueError as error:
            raise DataError(f"{file}: {protocol}://: {error}") from None
