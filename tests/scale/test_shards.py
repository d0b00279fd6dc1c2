"""Parts of a list: any number of shards, killed anywhere, makes each row once."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet
import pytest

from video_gc import Recognizer
from video_gc.atomic import PART
from video_gc.deploy.fastest import Way
from video_gc.outputs import read_csv
from video_gc.scale import shards
from video_gc.scale.merge import merge
from video_gc.scale.scoring import ScoreOptions, Scorer, Work
from video_gc.scale.shards import Shard, score_shard
from video_gc.scale.video_list import read_list


@pytest.fixture
def listed(clips_folder: Path, damaged: dict[str, Path], tmp_path: Path) -> pa.ChunkedArray:
    """14 files, two of them damaged."""
    files = [*sorted(clips_folder.glob("*/*.mp4"))]
    files[3:3] = [damaged["text"]]
    files.append(damaged["zero-byte"])
    (tmp_path / "list.txt").write_text("\n".join(map(str, files)))
    return read_list(tmp_path / "list.txt")


@pytest.fixture
def score(
    recognizer: Recognizer, listed: pa.ChunkedArray, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., int]:
    monkeypatch.setattr(Work, "recognizer", lambda self: recognizer)

    def run(out: Path, shard: str = "0/1", part_size: int = 4, **options: Any) -> int:
        """The number of new rows."""
        share, retry = Shard(*map(int, shard.split("/"))), options.pop("retry", False)
        work = Work(checkpoint=Path("c"), options=ScoreOptions(**options))
        counts = score_shard(work, listed, out, shard=share, part_size=part_size, retry=retry)
        return counts.total()

    return run


def table_of(out: Path) -> pa.Table:
    """All rows, without what says where they were made."""
    table = pa.concat_tables([pa.parquet.read_table(f) for f in sorted(out.glob("*.parquet"))])
    return table.drop(["machine", "process", "finished"])


def test_shards_make_the_rows_of_one_process(score: Callable[..., int], tmp_path: Path) -> None:
    assert score(tmp_path / "one") == 14
    assert [score(tmp_path / "two", shard) for shard in ("1/2", "0/2")] == [6, 8]
    one, two = (table_of(tmp_path / name) for name in ("one", "two"))
    assert one["row"].to_pylist() == list(range(14))
    assert one.equals(two)
    files = [sorted(file.name for file in (tmp_path / n).glob("*.parquet")) for n in ("one", "two")]
    assert files[0] == files[1] == [f"part-{n:07d}.parquet" for n in range(4)]
    found = merge(tmp_path / "two")
    assert found.complete
    summary = json.loads((tmp_path / "two" / "summary.json").read_text())
    assert (summary["complete"], summary["videos"], summary["rows"]) == (True, 14, 14)
    assert summary["status"] == {"ok": 12, "error": 2}
    assert sum(summary["causes"].values()) == 2
    assert summary["video_seconds"] == pytest.approx(12 * 20 / 30)
    ((_, machine),) = summary["machines"].items()
    assert (machine["videos"], machine["processes"]) == (14, 1)
    assert machine["videos_per_second_of_a_process"] > 0
    _, rows = read_csv(tmp_path / "two" / "not_scored.csv")
    assert [row["row"] for row in rows] == ["3", "13"]
    assert {row["status"] for row in rows} == {"error"}


def test_a_pause_between_parts_does_not_count(score: Callable[..., int], tmp_path: Path) -> None:
    score(tmp_path)
    merge(tmp_path)
    before = json.loads((tmp_path / "summary.json").read_text())["machines"]
    file = tmp_path / "part-0000002.parquet"
    table = pa.parquet.read_table(file)
    place = table.column_names.index("finished")
    later = pc.add(table["finished"], pa.scalar(timedelta(hours=1)))
    table = table.set_column(place, table.field(place), later.cast(table.schema[place].type))
    pa.parquet.write_table(table, file)
    merge(tmp_path)
    assert json.loads((tmp_path / "summary.json").read_text())["machines"] == before


def test_a_killed_shard_goes_on_at_its_last_part(
    score: Callable[..., int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows, made = Scorer.rows, list[int]()

    def killed(self: Scorer, videos: Any) -> Iterator[Any]:
        for row in rows(self, videos):
            if len(made) == 10:
                raise KeyboardInterrupt
            made.append(row["row"])
            yield row

    with monkeypatch.context() as patch:
        patch.setattr(Scorer, "rows", killed)
        with pytest.raises(KeyboardInterrupt):
            score(tmp_path / "out")
    assert len(list((tmp_path / "out").glob("*.parquet"))) == 2
    found = merge(tmp_path / "out")
    assert (found.complete, found.times.sum(), found.missing) == (False, 8, [(8, 13)])
    assert score(tmp_path / "out", "1/3") == 0  # part 1 is there
    assert score(tmp_path / "out") == 6
    assert score(tmp_path / "out") == 0
    assert merge(tmp_path / "out").complete
    assert score(tmp_path / "whole") == 14
    assert table_of(tmp_path / "out").equals(table_of(tmp_path / "whole"))
    assert [file for file in (tmp_path / "out").iterdir() if PART.fullmatch(file.name)] == []


def test_parts_with_errors_are_made_again_if_asked(
    score: Callable[..., int], listed: pa.ChunkedArray, tmp_path: Path, clips_folder: Path
) -> None:
    bad = Path(listed[3].as_py())
    content = bad.read_bytes()
    assert score(tmp_path) == 14
    try:
        bad.write_bytes(next(clips_folder.glob("*/*.mp4")).read_bytes())
        assert score(tmp_path) == 0
        assert merge(tmp_path).status == {"ok": 12, "error": 2}
        assert score(tmp_path, retry=True) == 6  # the first part and the last
    finally:
        bad.write_bytes(content)
    assert merge(tmp_path).status == {"ok": 13, "error": 1}


def test_a_shard_that_writes_is_not_read_and_two_first_ones_agree(
    score: Callable[..., int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    score(tmp_path)
    (tmp_path / ".video_gc-0123456789abcdef.part.parquet").write_bytes(b"half")
    assert merge(tmp_path).complete
    for part in tmp_path.glob("part-*"):
        part.unlink()
    read = shards.read_about
    times = iter([None])  # the first look comes before the other one's note
    monkeypatch.setattr(shards, "read_about", lambda folder: next(times, read(folder)))
    with pytest.raises(ValueError, match="its rows were made with another options"):
        score(tmp_path, top=1)


def test_a_folder_is_of_one_list_network_and_options(
    score: Callable[..., int], recognizer: Recognizer, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    score(out, "3/4")
    with pytest.raises(ValueError, match="no such layer"):
        score(tmp_path / "new", what="features", layer="res9")
    assert not (tmp_path / "new").exists()
    for changed, said in (
        ({"top": 2}, "options"),
        ({"what": "segments"}, "options"),
        ({"part_size": 5}, "part_size"),
    ):
        with pytest.raises(ValueError, match=f"its rows were made with another {said}; give"):
            score(out, **changed)
    (tmp_path / "other.txt").write_text("/a\n")
    with pytest.raises(ValueError, match="made with another list, videos; give another --out"):
        other = read_list(tmp_path / "other.txt")
        work = Work(checkpoint=Path("c"), options=ScoreOptions())
        score_shard(work, other, out, shard=Shard(), part_size=4)
    (out / "about.json").write_text("{}")
    with pytest.raises(ValueError, match=r"about.json: not of this version of video-gc score"):
        score(out)
    (out / "about.json").unlink()
    with pytest.raises(ValueError, match=r"has Parquet files, but no about.json"):
        score(out)
    with pytest.raises(FileNotFoundError, match=r"no rows of video-gc score"):
        merge(tmp_path)


def test_a_merge_sees_what_is_damaged_missing_repeated_or_foreign(
    score: Callable[..., int], tmp_path: Path
) -> None:
    score(tmp_path)
    parts = sorted(tmp_path.glob("*.parquet"))
    parts[0].write_bytes(parts[0].read_bytes()[:-9])
    parts[1].write_bytes(parts[2].read_bytes())
    foreign = pa.parquet.read_table(parts[3]).set_column(0, "row", pa.array([12, 14]))
    pa.parquet.write_table(foreign, tmp_path / "z.parquet")
    found = merge(tmp_path)
    assert not found.complete
    assert sorted(found.damaged) == [parts[0].name, "z.parquet"]
    assert found.damaged["z.parquet"] == "it has rows of another list"
    summary = found.to_dict()
    assert (summary["missing"], summary["missing_rows"], summary["repeated"]) == (8, [(0, 7)], 4)
    for file in (*parts[:2], tmp_path / "z.parquet"):
        file.unlink()
    assert score(tmp_path) == 8
    assert merge(tmp_path).complete


@pytest.mark.parametrize(("number", "count"), [(2, 2), (-1, 2), (0, 0)])
def test_shares_that_cannot_be(number: int, count: int) -> None:
    with pytest.raises(ValueError, match="shard"):
        Shard(number, count)


def test_a_folder_is_finished_as_it_was_begun(
    score: Callable[..., int], tmp_path: Path, checkpoint: Path
) -> None:
    """Whatever is the default by now, or on this machine."""
    out = tmp_path / "out"
    asked = Work(checkpoint=checkpoint, options=ScoreOptions())
    assert shards.as_begun(asked, out) is asked
    score(out)
    network = shards.read_about(out)["network"]  # type: ignore[index]
    begun = shards.as_begun(asked, out)
    assert [begun.precision, begun.backend, begun.micro_batch] == network[1:]
    assert network[3] == 4
    for given in ({"precision": "fp32"}, {"backend": "openvino"}):
        work = replace(asked, **given)  # type: ignore[arg-type]
        assert shards.as_begun(work, out) is work


@pytest.mark.parametrize(("what", "backend"), [("scores", "openvino"), ("features", "eager")])
def test_features_ask_for_eager_torch(
    what: str, backend: str, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The fastest way that was measured may be another."""
    way = Way("fp32", "openvino", 8)
    monkeypatch.setattr(
        "video_gc.deploy.inference_network.fastest", lambda _model, _clip, _device: way
    )
    monkeypatch.setattr("video_gc.deploy.openvino.compile_openvino", lambda *_, **__: None)
    made = Work(checkpoint=checkpoint, options=ScoreOptions(what=what), device="cpu").recognizer()
    assert made.network.backend == backend
