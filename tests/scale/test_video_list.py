"""Lists of videos: tables and texts, paths and addresses."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
import pytest

from video_gc.data.index import DataError
from video_gc.scale.video_list import list_hash, read_list

LISTED = ["a.mp4", "/b/c.mp4", "s/x y.mp4", "HTTP://d/é.mp4", "=e.mp4"]


@pytest.mark.parametrize("kind", ["txt", "csv", "tsv", "parquet", "column"])
def test_all_kinds_of_lists_are_read_alike(tmp_path: Path, kind: str) -> None:
    file = tmp_path / f"list.{'csv' if kind == 'column' else kind}"
    if kind == "txt":
        file.write_text("\n\n".join(LISTED) + "\r\n")
    elif kind == "parquet":
        pa.parquet.write_table(pa.table({"n": range(5), "video": LISTED}), file)
    else:
        split = "\t" if kind == "tsv" else ","
        name = {"csv": "url", "tsv": "path", "column": "file"}[kind]
        file.write_text("\n".join(f"{n}{split}1" for n in (name, *LISTED)))
    found = read_list(file, "file" if kind == "column" else None)
    here = str(tmp_path)
    expected = [
        f"{here}/a.mp4", "/b/c.mp4", f"{here}/s/x y.mp4", "HTTP://d/é.mp4", f"{here}/=e.mp4",
    ]  # fmt: skip
    assert found.to_pylist() == expected
    assert read_list(file, "file" if kind == "column" else None, Path("/v")).to_pylist()[0] == (
        "/v/a.mp4"
    )


def test_a_row_without_a_path_stays_a_row(tmp_path: Path) -> None:
    file = tmp_path / "list.parquet"
    pa.parquet.write_table(pa.table({"path": ["/a", None, " /b "]}), file)
    assert read_list(file).to_pylist() == ["/a", "", "/b"]


def test_the_hash_is_of_all_paths_and_their_order() -> None:
    paths = [f"/{n}" for n in range(250_000)]
    whole = list_hash(pa.chunked_array([paths]))
    assert whole == list_hash(pa.chunked_array([paths[:7], paths[7:]]))
    paths[-1], paths[-2] = paths[-2], paths[-1]
    assert whole != list_hash(pa.chunked_array([paths]))


@pytest.mark.parametrize(
    ("name", "content", "error", "said"),
    [
        ("none.txt", None, FileNotFoundError, "none.txt: no such list of videos"),
        ("a.txt", b"\n \n", DataError, "the list is empty"),
        ("a.csv", b"name,label\na,b\n", DataError, "no column path, video or url; its columns are"),
        ("a.parquet", b"PAR1", DataError, "not a table"),
        ("a.mp4", b"\0\0\0\x18ftyp", DataError, "not a list of videos: there is a zero byte"),
        ("a.txt", b"nowhere://a\n", DataError, "nowhere://: no address that is read; valid: file,"),
        ("a.txt", b"reference://a::http://b\n", DataError, "reference://: no address"),
    ],
)
def test_what_is_no_list(
    tmp_path: Path, name: str, content: bytes | None, error: type[Exception], said: str
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(error) as found:
        read_list(tmp_path / name)
    assert said in str(found.value)
    assert "\n" not in str(found.value)


@pytest.mark.parametrize("column", [[1, 2], [True, False], [{"bytes": b"", "path": "a"}] * 2])
def test_a_column_that_holds_no_paths(tmp_path: Path, column: list[object]) -> None:
    file = tmp_path / "list.parquet"
    pa.parquet.write_table(pa.table({"video": column}), file)
    with pytest.raises(DataError, match="column 'video' holds .*, and no paths; give --column"):
        read_list(file)
    coded = pa.array(["/a", "/b", "/a"]).dictionary_encode()
    pa.parquet.write_table(pa.table({"video": coded}), file)
    assert read_list(file).to_pylist() == ["/a", "/b", "/a"]


def test_a_folder_and_a_missing_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataError, match=r"a folder; video-gc predict takes folders"):
        read_list(tmp_path)

    def missing(name: str) -> None:
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr("fsspec.get_filesystem_class", missing)
    (tmp_path / "list.txt").write_text("/a\ns3://b/c\n")
    with pytest.raises(ImportError, match=r's3://: Install s3fs .*pip install "video_gc\[scale'):
        read_list(tmp_path / "list.txt")
