"""Videos in shards: written, found again, and read as if they were files."""

import gc
import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest

from tests.conftest import counted_frames
from video_gc.data.config import DataConfig
from video_gc.data.dataset import TrainingClips
from video_gc.data.fingerprint import fingerprint
from video_gc.data.index import DataError
from video_gc.data.manifest import Listed, Listing
from video_gc.data.prepare.check import check_videos
from video_gc.data.prepare.listing import list_sources
from video_gc.data.reading import Decoding, common_rate
from video_gc.data.sampling import ClipConfig
from video_gc.data.shards.open import open_shards
from video_gc.data.shards.packed import PackedVideo
from video_gc.data.shards.store import StoreError
from video_gc.data.shards.webdataset import index_tars
from video_gc.data.shards.write import INDEX, write_shards
from video_gc.data.splits import open_splits, read_splits, write_splits
from video_gc.decode.write import write_video

SIZE = 20_000
"""Bytes of a shard: some clips."""


@pytest.fixture(scope="module")
def shards(clips_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("shards")
    listed, root, *_ = list_sources([clips_folder])
    assert write_shards(Listing(listed, root), out, SIZE) > 2
    return out


def test_members_are_the_files_and_the_index_has_their_places(
    shards: Path, clips_folder: Path
) -> None:
    rows = pyarrow.parquet.read_table(shards / INDEX).to_pylist()
    assert [row["path"] for row in rows] == sorted(
        str(file.relative_to(clips_folder)) for file in clips_folder.glob("*/*.mp4")
    )
    for number, row in enumerate(rows):
        content = (clips_folder / row["path"]).read_bytes()
        with (shards / row["shard"]).open("rb") as stream:
            stream.seek(row["offset"])
            assert stream.read(row["size"]) == content
        with tarfile.open(shards / row["shard"]) as shard:
            member = shard.getmember(f"{number:09d}.mp4")
            facts = json.load(shard.extractfile(f"{number:09d}.json"))  # type: ignore[arg-type]
        assert (member.offset_data, member.size) == (row["offset"], len(content))
        assert facts == {"path": row["path"], "label": row["path"].split("/")[0]}
    sizes = [file.stat().st_size for file in sorted(shards.glob("*.tar"))]
    assert max(sizes) <= SIZE + tarfile.RECORDSIZE


def test_a_rerun_keeps_whole_shards_and_mends_others(
    shards: Path, clips_folder: Path, tmp_path: Path
) -> None:
    listed, root, *_ = list_sources([clips_folder])
    write_shards(Listing(listed, root), tmp_path, SIZE)
    files = sorted(tmp_path.glob("*.tar"))
    expected = [file.read_bytes() for file in files]
    assert expected == [file.read_bytes() for file in sorted(shards.glob("*.tar"))]
    before = [file.stat().st_mtime_ns for file in files]
    files[1].write_bytes(expected[1][:-1])
    files[2].unlink()
    write_shards(Listing(listed, root), tmp_path, SIZE)
    assert [file.read_bytes() for file in files] == expected
    after = [file.stat().st_mtime_ns for file in files]
    assert [one == other for one, other in zip(before, after, strict=True)][:3] == [
        True, False, False,
    ]  # fmt: skip
    write_shards(Listing(listed[1:], root), tmp_path, SIZE)
    assert files[0].read_bytes() != expected[0]


def test_samples_fingerprint_and_rate_are_those_of_the_files(
    shards: Path, clips_folder: Path, tmp_path: Path
) -> None:
    plain = open_splits(DataConfig(kind="folder", root=str(clips_folder)))
    packed = open_splits(DataConfig(kind="shards", root=str(shards)))
    clip = ClipConfig(frames=4, stride=2, crop=16, short_side=(20, 24))
    for one, other in ((plain.train, packed.train), (plain.val, packed.val)):
        assert one.names == other.names
        assert one.labels.tolist() == other.labels.tolist()
        assert fingerprint(one) == fingerprint(other)
        assert common_rate(one, Decoding()) == common_rate(other, Decoding()) == 30
        clips = [TrainingClips(index, clip, seed=3, flip=0.5) for index in (one, other)]
        for row in range(len(one)):
            (first,), (second,) = (each[5, row] for each in clips)
            assert np.array_equal(first.clip, second.clip)
            assert (first.label, first.flip, first.seed) == (
                second.label, second.flip, second.seed,
            )  # fmt: skip
    kept = write_splits(packed, tmp_path)
    assert kept.train.path(0) == packed.train.path(0)
    assert read_splits(tmp_path).val.path(1) == packed.val.path(1)


def test_splits_segments_groups_and_the_manifest_stay(tmp_path: Path) -> None:
    for split in ("train", "val", "test"):
        for label in ("a", "b"):
            (tmp_path / "v" / split / label).mkdir(parents=True)
            for n in range(2):
                write_video(tmp_path / "v" / split / label / f"g{n}.mp4", counted_frames(8, seed=n))
    listed, root, *_ = list_sources([tmp_path / "v"], group=r"(g\d)")
    check_videos(listed, root, tmp_path / "manifest.parquet", workers=1)
    write_shards(Listing(listed, root), tmp_path / "s", 1 << 20, tmp_path / "manifest.parquet")
    splits = open_splits(DataConfig(kind="shards", root=str(tmp_path / "s")))
    assert [len(splits.train), len(splits.val), len(splits.test)] == [4, 4, 4]
    assert splits.train.group(1) == "g1"
    table = pyarrow.parquet.read_table(tmp_path / "s" / INDEX)
    assert table["frames"].to_pylist() == [8] * 12
    part = [Listed(listed[0].path, "a", segment=(0.1, 0.2)), Listed(listed[1].path, "b")]
    write_shards(Listing(part, root), tmp_path / "p", 1 << 20)
    index = open_shards(str(tmp_path / "p")).train
    assert index.segments() == [(0.1, 0.2), None]


def test_classes_keep_their_order_and_their_number(video: Path, tmp_path: Path) -> None:
    names = ["zebra", "none", "apple"]
    listed = [Listed(video, "zebra"), Listed(video, "apple"), Listed(video, "zebra")]
    write_shards(Listing(listed, video.parent, names), tmp_path / "a", 1 << 20)
    index = open_shards(str(tmp_path / "a")).train
    assert (index.names, index.labels.tolist()) == (names, [0, 2, 0])
    assert open_shards(str(tmp_path / "a"), ["apple", "zebra"]).train.labels.tolist() == [1, 0, 1]
    several = [Listed(video, "run|jump"), Listed(video, ""), Listed(video, "jump")]
    listing = Listing(several, video.parent, ["run", "jump"], multi_label=True)
    write_shards(listing, tmp_path / "b", 1 << 20)
    config = DataConfig(kind="shards", root=str(tmp_path / "b"), multi_label=True)
    index = open_shards(str(config.root), multi_label=config.multi_label).train
    assert [index.label_names(row) for row in range(3)] == [["run", "jump"], [], ["jump"]]
    with pytest.raises(DataError, match=r"have several classes; give data.multi_label=true"):
        open_shards(str(tmp_path / "b"))
    with pytest.raises(DataError, match=r"class 'a\|b': \| stands between"):
        write_shards(listing._replace(names=["a|b"]), tmp_path / "c", 1 << 20)


def test_shards_of_an_earlier_size_are_removed(clips_folder: Path, tmp_path: Path) -> None:
    listing = list_sources([clips_folder])
    assert write_shards(listing, tmp_path, SIZE) > 2
    (tmp_path / "999999.tar").touch()  # not ours
    assert write_shards(listing, tmp_path, 1 << 20) == 1
    assert sorted(file.name for file in tmp_path.glob("*.tar")) == ["000000.tar", "999999.tar"]


def test_a_damaged_video_is_a_problem_and_a_damaged_shard_ends_the_run(
    damaged: dict[str, Path], video: Path, tmp_path: Path
) -> None:
    listed = [Listed(video, "a"), Listed(damaged["text"], "b"), Listed(video, "b")]
    write_shards(Listing(listed, video.parent), tmp_path, 1 << 30)
    index = open_shards(str(tmp_path)).train
    clips = TrainingClips(index, ClipConfig(frames=2, stride=1, crop=16), seed=0, flip=0)
    (sample,) = clips[0, 1]
    assert len(sample.clip) == 2
    assert sample.problems[0].kind == "damaged"
    assert sample.problems[0].path == str(index.path(1))
    assert "text.mp4: cannot be read as a video" in sample.problems[0].reason
    shard = tmp_path / "000000.tar"
    shard.write_bytes(shard.read_bytes()[:2000])
    with pytest.raises(StoreError, match=r"000000.tar: ends before byte .*; it is not the shard"):
        clips[0, 0]
    shard.unlink()
    with pytest.raises(StoreError, match=r"000000.tar: cannot be read \(No such file"):
        clips[0, 0]


def test_what_cannot_be_packed_or_opened(video: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there are no videos to pack"):
        write_shards(Listing([], tmp_path), tmp_path / "s", 1)
    with pytest.raises(DataError, match="a folder of frames; shards hold video files"):
        write_shards(Listing([Listed(tmp_path)], tmp_path), tmp_path / "s", 1)
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "000000.tar").write_bytes(b"mine")
    with pytest.raises(FileExistsError, match=r"000000.tar: exists, and video_gc did not write it"):
        write_shards(Listing([Listed(video, "a")], tmp_path), tmp_path / "s", 1)
    with pytest.raises(FileNotFoundError, match=r"no such index; video-gc prepare shards makes it"):
        open_shards(str(tmp_path))
    (tmp_path / INDEX).write_bytes(b"PAR1")
    with pytest.raises(DataError, match=r"not an index of video-gc prepare shards"):
        open_shards(str(tmp_path))


@pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning"
)  # it leaves files open
def test_webdataset_reads_our_shards(shards: Path, clips_folder: Path) -> None:
    webdataset = pytest.importorskip("webdataset")
    urls = [str(file) for file in sorted(shards.glob("*.tar"))]
    files = sorted(clips_folder.glob("*/*.mp4"))
    found = list(webdataset.WebDataset(urls, shardshuffle=False))
    assert [sample["mp4"] for sample in found] == [file.read_bytes() for file in files]
    assert json.loads(found[0]["json"])["label"] == "bright"
    gc.collect()


@pytest.mark.parametrize("label", ["cls", "txt", "json"])
def test_we_read_the_shards_of_webdataset(
    clips_folder: Path, tmp_path: Path, label: str, capsys: pytest.CaptureFixture[str]
) -> None:
    webdataset = pytest.importorskip("webdataset")
    for split in ("train", "test"):
        with webdataset.ShardWriter(str(tmp_path / f"{split}-%06d.tar"), maxcount=5) as writer:
            for file in sorted(clips_folder.glob("*/*.mp4")):
                number = ["bright", "dark"].index(file.parent.name)
                given = {"cls": number, "txt": file.parent.name, "json": {"label": number}}[label]
                key = f"a/{file.parent.name}{file.stem}"
                writer.write({"__key__": key, "mp4": file.read_bytes(), label: given})
    assert index_tars(tmp_path) == 24
    splits = open_shards(str(tmp_path))
    assert splits.test is not None
    assert (len(splits.train), len(splits.test)) == (12, 12)
    assert splits.train.names == (["bright", "dark"] if label == "txt" else ["0", "1"])
    for row, file in enumerate(sorted(clips_folder.glob("*/*.mp4"))):
        packed = splits.train.path(row)
        assert isinstance(packed, PackedVideo)
        assert packed.open().read() == file.read_bytes()
    first = sorted(clips_folder.glob("*/*.mp4"))[0]
    with tarfile.open(tmp_path / "train-000008.tar", "w") as tar:
        for name in ("x.mp4", "._x.mp4", "y.12.5s.mp4"):
            tar.add(first, name)
        for name, text in (("x.txt", b"a caption"), ("x.cls", b"3"), (".x.cls", b"4")):
            info = tarfile.TarInfo(name)
            info.size = len(text)
            tar.addfile(info, io.BytesIO(text))
    capsys.readouterr()
    assert index_tars(tmp_path) == 25
    assert "1 videos with a further dot in their name are passed over" in " ".join(
        capsys.readouterr().err.split()
    )
    assert "3" in open_shards(str(tmp_path)).train.names
    with tarfile.open(tmp_path / "train-000009.tar", "w") as tar:
        tar.add(sorted(clips_folder.glob("*/*.mp4"))[0], "b.mp4")
    with pytest.raises(
        DataError, match=r"train-000009.tar: b has no label in a member .json, .cls"
    ):
        index_tars(tmp_path)
    (tmp_path / "train-000009.tar").write_bytes(b"no tar file" * 100)
    with pytest.raises(DataError, match=r"train-000009.tar: not a tar file, or a damaged one"):
        index_tars(tmp_path)
