"""Lists of PySlowFast and MMAction2, tables, several labels, and the Arrow copy of big files."""

import csv
import os
import unicodedata
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from video_gc.data.annotations import index_cache
from video_gc.data.annotations.listed_files import leave_out_missing
from video_gc.data.annotations.lists import read_list, read_mmaction2, read_pyslowfast
from video_gc.data.annotations.tables import read_table
from video_gc.data.index import DataError, VideoIndex

NAMES = ["jump", "run fast", "walk"]


def write(file: Path, text: str) -> Path:
    file.write_text(text)
    return file


def rows(index: VideoIndex) -> list[tuple[str, int]]:
    return [(str(path), int(label)) for path, label in zip(index.paths, index.labels, strict=True)]


def test_pyslowfast(tmp_path: Path) -> None:
    file = write(
        tmp_path / "train.csv", "a.mp4 3\nmy b.mp4 0\nc.mp4 57 1\nd.mp4,2\n/e.mp4 -1\nf.mp4\n"
    )
    assert rows(read_pyslowfast(file, Path("/r"))) == [
        ("/r/a.mp4", 3), ("/r/my b.mp4", 0), ("/r/c.mp4", 1), ("/r/d.mp4", 2), ("/e.mp4", -1),
        ("/r/f.mp4", -1),
    ]  # fmt: skip
    with pytest.raises(
        DataError, match="train.csv, line 2: expected `path label`, found 'b.mp4 x'"
    ):
        read_pyslowfast(write(file, "a.mp4 1\nb.mp4 x\n"))
    with pytest.raises(DataError, match="line 1: unknown label '7'; known: jump"):
        read_pyslowfast(write(file, "a.mp4 7\n"), names=NAMES)


def test_mmaction2(tmp_path: Path) -> None:
    file = write(tmp_path / "list.txt", "some/a.mp4 1\nmy folder/b.avi 0\nframes/c 163 2\n")
    assert rows(read_mmaction2(file, Path("/r"))) == [
        ("/r/some/a.mp4", 1), ("/r/my folder/b.avi", 0), ("/r/frames/c", 2),
    ]  # fmt: skip
    write(file, "a.mp4 1 3\nb 120 2\nc.mp4\n")
    with pytest.raises(DataError, match="list.txt, line 1: expected"):
        read_mmaction2(file)
    several = read_mmaction2(file, multi_label=True)
    assert [several.target(row).tolist() for row in range(3)] == [
        [0, 1, 0, 1],
        [0, 0, 1, 0],
        [0] * 4,
    ]


def test_lists_with_several_labels(tmp_path: Path) -> None:
    file = write(tmp_path / "list.txt", "a.mp4 walk;run fast\nb c.mp4 jump|2\nd.mp4 run fast\n")
    index = read_list(file, names=NAMES, multi_label=True)
    assert [path.name for path in index.paths] == ["a.mp4", "b c.mp4", "d.mp4"]
    assert [index.label_names(row) for row in range(3)] == [
        ["walk", "run fast"], ["jump", "walk"], ["run fast"],
    ]  # fmt: skip
    write(file, "a.mp4 walk\nb.mp4 walk;\nc.mp4 jump;wlak\n")
    with pytest.raises(DataError, match="line 3: unknown label 'wlak'; did you mean 'walk'"):
        read_list(file, names=NAMES, multi_label=True)


@given(
    st.lists(
        st.tuples(st.text("abc/,. é\"'", min_size=1), st.lists(st.sampled_from(NAMES), max_size=3)),
        min_size=1,
        max_size=9,
    ),
    st.sampled_from([",", "\t", ";"]),
)
@settings(max_examples=40)
def test_tables_hold_what_a_csv_writer_wrote(
    content: list[tuple[str, list[str]]], separator: str
) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "table.csv")
        with file.open("w", newline="") as stream:
            writer = csv.writer(stream, delimiter=separator)
            writer.writerow(["class", "file", "from", "to"])
            for number, (path, labels) in enumerate(content):
                writer.writerow(["|".join(labels), path, number, ""])
        index = read_table(
            file, Path("/r"), NAMES, multi_label=True,
            columns={"path": "file", "label": "class", "start": "from", "end": "to"},
        )  # fmt: skip
    assert index.paths == [Path("/r", path) for path, _ in content]
    assert [index.label_names(row) for row in range(len(index))] == [
        labels for _, labels in content
    ]
    assert index.segment(0) == (0.0, float("inf"))


def test_tables_in_other_forms(tmp_path: Path) -> None:
    expected = [("/r/a.mp4", 2), ("/r/b.mp4", 0)]
    columns = {"path": ["a.mp4", "b.mp4"], "label": ["walk", "jump"], "note": ["", None]}
    pa.parquet.write_table(pa.table(columns), tmp_path / "t.parquet")
    assert rows(read_table(tmp_path / "t.parquet", Path("/r"), NAMES)) == expected
    columns["label"] = [["walk", "jump"], []]  # type: ignore[list-item]
    pa.parquet.write_table(pa.table(columns), tmp_path / "lists.parquet")
    lists = read_table(tmp_path / "lists.parquet", names=NAMES, multi_label=True)
    assert [lists.label_names(row) for row in range(2)] == [["walk", "jump"], []]
    write(tmp_path / "t.txt", "label path\nwalk a.mp4\njump b.mp4\n")
    assert rows(read_table(tmp_path / "t.txt", Path("/r"), NAMES)) == expected
    write(tmp_path / "bare.csv", "a.mp4;walk\nb.mp4;0\n")
    bare = read_table(tmp_path / "bare.csv", Path("/r"), NAMES, columns={"path": "0", "label": "1"})
    assert rows(bare) == expected
    write(tmp_path / "numbers.csv", "path,label\na.mp4,2\nb.mp4,0\n")
    assert rows(read_table(tmp_path / "numbers.csv", Path("/r"))) == expected


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("t.csv", "file,class\na,b\n", "no column 'path'; its columns are file, class; name the right one with data.path_column"),
        ("t.csv", "path,label\na.mp4,walk\n\n\"b\nc\",wlak\n", "t.csv, line 5: unknown label 'wlak'; did you mean 'walk'"),
        ("t.csv", "path,label\na,walk,3\n", "t.csv: not a table .CSV parse error"),
        ("t.csv", "path,label\n", "t.csv: the table is empty"),
        ("t.csv", "", "no column 'path'"),
        ("t.parquet", "PAR1", "t.parquet: not a table"),
        ("t.csv", "path,label\na,\xff\n", None),
    ],
)  # fmt: skip
def test_a_wrong_table_is_explained(
    tmp_path: Path, name: str, text: str, message: str | None
) -> None:
    (tmp_path / name).write_bytes(text.encode("latin-1"))
    with pytest.raises(DataError, match=message) as caught:
        read_table(tmp_path / name, names=NAMES)
    assert "\n" not in str(caught.value)


def test_seconds_must_be_numbers(tmp_path: Path) -> None:
    file = write(tmp_path / "t.csv", "path,label,from\na,walk,soon\n")
    with pytest.raises(DataError, match="column 'from' must hold seconds"):
        read_table(file, names=NAMES, columns={"start": "from"})


BIG = 3_000
"""Lines that make a list big with the fixture `parsed`."""


def big_list(file: Path, rows: int = BIG) -> Path:
    return write(file, "".join(f"folder/{n:08d}.mp4 {n % 7}\n" for n in range(rows)))


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Files that were converted rather than taken from the copy; 32 KiB are a big one."""
    monkeypatch.setattr(index_cache, "SMALL", 1 << 15)
    files: list[Path] = []
    opened = index_cache.opened

    def noted(file: Path) -> object:
        files.append(file)
        return opened(file)

    monkeypatch.setattr("video_gc.data.annotations.lists.opened", noted)
    return files


def test_a_big_list_is_converted_once(tmp_path: Path, parsed: list[Path]) -> None:
    file = big_list(tmp_path / "big.txt")
    first = read_list(file)
    (copy,) = tmp_path.glob(".big.txt.*.arrow")
    again = read_list(file, Path("/other"))
    assert parsed == [file]
    assert first.file == again.file == str(copy)
    assert rows(first)[2_999] == (f"{tmp_path}/folder/00002999.mp4", 2_999 % 7)
    assert again.path(0) == Path("/other/folder/00000000.mp4")
    assert np.array_equal(first.labels, np.arange(BIG) % 7)
    read_list(file, names=[str(n) for n in range(9)])  # other options, another copy
    assert len(list(tmp_path.glob(".big.txt.*.arrow"))) == 2
    assert not list(tmp_path.glob(".index-*"))


@pytest.mark.parametrize("harm", ["list", "time", "cut", "foreign"])
def test_a_stale_or_damaged_copy_is_made_again(
    tmp_path: Path, parsed: list[Path], harm: str
) -> None:
    file = big_list(tmp_path / "big.txt")
    read_list(file)
    (copy,) = tmp_path.glob(".big.txt.*.arrow")
    if harm == "list":
        big_list(file, 2_900)
    elif harm == "time":
        os.utime(file, (1, 1))
    elif harm == "cut":
        copy.write_bytes(copy.read_bytes()[:-500])
    else:
        copy.write_text("not arrow")
    index = read_list(file)
    assert len(parsed) == 2
    assert len(index) == (2_900 if harm == "list" else BIG)
    assert read_list(file).labels.tolist() == index.labels.tolist()
    assert len(parsed) == 2


def test_a_copy_goes_to_the_users_cache_where_the_folder_is_read_only(
    tmp_path: Path, parsed: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = big_list(tmp_path / "big.txt")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(os, "access", lambda *_: False)  # tests may run as root
    read_list(file)
    assert not list(tmp_path.glob(".big*"))
    assert len(list((tmp_path / "cache/video_gc/indices").glob("*big.txt*.arrow"))) == 1


def test_a_big_table_is_converted_once(tmp_path: Path) -> None:
    text = "".join(f"folder/{n:08d}.mp4,class {n % 7}\n" for n in range(60_000))
    file = write(tmp_path / "big.csv", "path,label\n" + text)
    index = read_table(file)
    assert index.file is not None
    assert index.names[3] == "class 3"
    assert np.array_equal(read_table(file).labels, np.arange(60_000) % 7)


def test_a_wrong_line_of_a_big_list_is_named(tmp_path: Path, parsed: list[Path]) -> None:
    file = big_list(tmp_path / "big.txt")
    file.write_text(file.read_text() + "x.mp4 nine\n")
    with pytest.raises(DataError, match="line 3001: unknown label 'nine'"):
        read_list(file, names=[str(n) for n in range(7)])
    assert not list(tmp_path.glob(".*"))


def test_a_tab_behind_a_video_ends_its_name(tmp_path: Path) -> None:
    (tmp_path / "l.txt").write_text("my a.mp4\thigh jump\nb.mp4\trun\n")
    index = read_list(tmp_path / "l.txt")
    assert [path.name for path in index.paths] == ["my a.mp4", "b.mp4"]
    assert index.names == ["high jump", "run"]


SAME = [("sub dir/a x.mp4", 0), ("b.mp4", 1), ("#c.mp4", 1)]


@pytest.mark.parametrize(
    ("form", "slash", "encoding", "newline"),
    [
        ("{} {}", "/", "utf-16", "\r\n"),  # PowerShell's >
        ("{}\t{}", "/", "utf-16-le", "\n"),
        ("{}, {}", "/", "utf-8-sig", "\r\n"),
        ("{},{}", "/", "utf-16-be", "\r"),
        ('"{}" {}', "/", "utf-8", "\r"),  # the old Mac's
        ("'{}', {}", "/", "utf-32", "\n"),
        ('"{}","{}"', "\\", "utf-8-sig", "\r"),
        ("{} {}", "\\", "utf-8", "\r\n"),
        ("{};{}", "\\", "utf-16", "\n"),
    ],
)
def test_lists_as_other_programs_write_them(
    tmp_path: Path, form: str, slash: str, encoding: str, newline: str
) -> None:
    (tmp_path / "#c.mp4").touch()
    lines = [form.format(path.replace("/", slash), label) for path, label in SAME]
    (tmp_path / "l.txt").write_bytes((newline.join(lines) + newline).encode(encoding))
    expected = [(f"{tmp_path}/{path}", label) for path, label in SAME]
    assert rows(read_list(tmp_path / "l.txt")) == expected
    if '"' not in form and ";" not in form:
        assert rows(read_pyslowfast(tmp_path / "l.txt")) == expected
    if "," not in form and ";" not in form:
        assert rows(read_mmaction2(tmp_path / "l.txt")) == expected


def test_lines_that_begin_with_a_number_sign(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a.mp4", "#a.mp4", "# b.mp4", "b.mp4"):
        (tmp_path / name).touch()
    text = "# path label\n#a.mp4 1\n# b.mp4 0\na.mp4 0\n#old.mp4 7\n#\n"
    file = write(tmp_path / "l.txt", text)
    index = read_list(file)
    assert [path.name for path in index.paths] == ["#a.mp4", "# b.mp4", "a.mp4"]
    assert index.names == ["0", "1"]  # a row that was taken out gives no class
    said = capsys.readouterr().err
    assert "comments: 3, the first is line 1 ('# path label')" in said
    assert len(read_list(file, tmp_path / "elsewhere")) == 1


def test_a_big_list_is_read_again_where_another_root_decides(
    tmp_path: Path, parsed: list[Path]
) -> None:
    file = big_list(tmp_path / f"{'n' * 250}.txt")  # the copy's name must fit as well
    with file.open("a") as stream:
        stream.write("#a.mp4 0\n")
    (tmp_path / "#a.mp4").touch()
    assert len(read_list(file)) == len(read_list(file)) == BIG + 1
    assert len(parsed) == 1
    assert len(read_list(file, tmp_path / "other")) == BIG
    assert len(parsed) == 2


def test_signs_that_are_part_of_names_stay(tmp_path: Path) -> None:
    names = ["a\\b.mp4", "it's.mp4", "x, y.mp4", '"q".mp4', "'90s' dance.mp4"]
    for name in names:
        (tmp_path / name).touch()
    file = write(tmp_path / "l.txt", "".join(f"{name} {n}\n" for n, name in enumerate(names)))
    assert [path.name for path in read_list(file).paths] == names
    quoted = write(tmp_path / "q.txt", '"x, y.mp4", "run fast"\nb.mp4 \'walk\'\n')
    assert rows(read_list(quoted, Path("/r"), NAMES)) == [("/r/x, y.mp4", 1), ("/r/b.mp4", 2)]


@pytest.mark.parametrize("encoding", ["cp1252", "gbk", "cp437"])
def test_a_list_in_another_encoding_is_refused_with_its_line(tmp_path: Path, encoding: str) -> None:
    name = "视频" if encoding == "gbk" else "käse"
    file = tmp_path / "l.csv"
    file.write_bytes(f"a.mp4,0\nb.mp4,1\n{name}.mp4,1\n".encode(encoding))
    message = r"l.csv, line 3: not a .* in UTF-8 \(byte 0x.. after .*\); save it as UTF-8 \(Windows"
    for read in (read_list, read_pyslowfast, read_mmaction2):
        with pytest.raises(DataError, match=message):
            read(file)
    with pytest.raises(DataError, match=message):
        read_table(file, columns={"path": "0", "label": "1"})
    file.write_bytes("a.mp4 0\n".encode("utf-16")[:-1])
    with pytest.raises(DataError, match="l.csv: not a text file of .*: UTF-16 after its first"):
        read_list(file)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le"])
def test_tables_of_windows(tmp_path: Path, encoding: str) -> None:
    text = 'path\tlabel\r\n"sub dir\\a, x.mp4"\twalk\r\nb.mp4\tjump\r\n\r\nc.mp4\twlak\r\n'
    file = tmp_path / "t.csv"
    file.write_bytes(text.replace("wlak", "jump").encode(encoding))
    expected = [("/r/sub dir/a, x.mp4", 2), ("/r/b.mp4", 0), ("/r/c.mp4", 0)]
    assert rows(read_table(file, Path("/r"), NAMES)) == expected
    file.write_bytes(text.encode(encoding))
    with pytest.raises(DataError, match="t.csv, line 5: unknown label 'wlak'"):
        read_table(file, names=NAMES)


def test_names_are_compared_in_one_unicode_form(tmp_path: Path) -> None:
    composed, apart = (unicodedata.normalize(form, "café") for form in ("NFC", "NFD"))
    (tmp_path / composed).mkdir()
    (tmp_path / composed / f"{apart}.mp4").touch()
    file = write(tmp_path / "l.txt", f"{apart}/{composed}.mp4 {apart}\n{apart}/b.mp4 {composed}\n")
    index = read_list(file)
    assert index.names == [composed]
    found, missing = leave_out_missing(index)
    assert found.paths == [tmp_path / composed / f"{apart}.mp4"]
    assert missing == [f"{tmp_path}/{apart}/b.mp4"]
    assert read_list(file, names=["tea", apart]).labels.tolist() == [1, 1]
