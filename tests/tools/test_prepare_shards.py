"""tools/prepare.py shards, and a training on what it wrote: in a folder, and in a bucket that fails.

The bucket is moto's S3 server in another process, behind a proxy that breaks answers.
"""

import http.client
import http.server
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
import pytest
import torch

from tests.conftest import SMALL
from video_gc.config import compose_train
from video_gc.data.manifest import Listed, Listing
from video_gc.data.shards import store
from video_gc.data.shards.store import StoreError
from video_gc.data.shards.write import write_shards
from video_gc.outputs import read_csv
from video_gc.train.loop import train

needs_s3 = pytest.mark.skipif(
    not all(map(find_spec, ("moto", "s3fs", "diskcache"))), reason="pip install moto[server] s3fs"
)


@pytest.fixture
def shards(tool, clips_folder: Path, tmp_path: Path) -> Path:  # type: ignore[no-untyped-def]
    out = tmp_path / "shards"
    status, _, err = tool("prepare", "shards", clips_folder, out, "--size", "20KB")
    assert status == 0
    assert f"12 videos in 12 shards and index.parquet: {out}" in err
    return out


def weights_of(where: Path, *options: str) -> dict[str, torch.Tensor]:
    """The weights after a training, by name."""
    run = train(compose_train([*SMALL, *options, f"runs={where}", "name=run"]))
    kept = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    return dict(kept["state_dict"])


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[n], other[n]) for n in one)


@pytest.mark.slow
def test_a_training_on_shards_has_the_bits_of_one_on_files(
    shards: Path, clips_folder: Path, tmp_path: Path
) -> None:
    plain = weights_of(tmp_path / "a", f"data.root={clips_folder}")
    packed = weights_of(tmp_path / "b", "data=shards", f"data.root={shards}")
    assert same(plain, packed)


def test_what_is_left_out_is_listed_and_tars_are_indexed(
    tool, clips_folder: Path, damaged: dict[str, Path], tmp_path: Path
) -> None:  # type: ignore[no-untyped-def]
    files = sorted(clips_folder.glob("*/*.mp4"))
    (tmp_path / "list.txt").write_text(
        "\n".join(f"{file} {file.parent.name}" for file in [*files, tmp_path / "none.mp4"])
    )
    out = tmp_path / "out"
    status, _, err = tool("prepare", "shards", tmp_path / "list.txt", out)
    assert status == 1
    assert "1 of 13 videos are missing or damaged, and left out" in err
    assert [row["path"] for row in read_csv(out / "left_out.csv")[1]] == [
        str(tmp_path / "none.mp4")
    ]
    tars = tmp_path / "tars"
    tars.mkdir()
    shutil.copy(out / "000000.tar", tars)
    status, _, err = tool("prepare", "shards", "--index", tars)
    assert (status, "12 videos indexed: " in err) == (0, True)
    own = pa.parquet.read_table(out / "index.parquet")
    found = pa.parquet.read_table(tars / "index.parquet")
    assert found.equals(own.select(found.column_names))
    status, _, err = tool("prepare", "shards", "--index", out)
    assert (status, "was made with these shards, and knows more" in err) == (2, True)
    (tmp_path / "list.txt").write_text("".join(f"{file} {file.parent.name}\n" for file in files))
    assert tool("prepare", "shards", tmp_path / "list.txt", out)[0] == 0
    assert not (out / "left_out.csv").exists()
    assert tool("prepare", "shards", "--index", tmp_path)[0] == 1


class Broken(http.server.BaseHTTPRequestHandler):
    """Passes requests on to `port`; every third is refused, reset, or answered slowly."""

    protocol_version = "HTTP/1.1"
    port, number, broken = 0, 0, True
    fetched: list[str] = []  # noqa: RUF012

    def pass_on(self) -> None:
        Broken.number += 1
        if self.command == "GET" and self.path.endswith(".tar"):
            self.fetched.append(self.path)
        fault = Broken.number % 9 if Broken.broken else 1
        if fault == 0:
            self.send_error(500)
            return
        if fault == 3:
            self.connection.shutdown(socket.SHUT_RDWR)
            self.close_connection = True
            return
        if fault == 6:
            time.sleep(0.3)
        length = int(self.headers.get("Content-Length") or 0)
        upstream = http.client.HTTPConnection("127.0.0.1", Broken.port)
        upstream.request(self.command, self.path, self.rfile.read(length), dict(self.headers))
        answer = upstream.getresponse()
        content = answer.read()
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in ("transfer-encoding", "connection", "content-length"):
                self.send_header(name, value)
        size = answer.getheader("Content-Length") if self.command == "HEAD" else len(content)
        self.send_header("Content-Length", str(size))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_HEAD = do_PUT = do_POST = pass_on  # noqa: N815

    def log_message(self, *_: object) -> None:
        """Print nothing."""


@pytest.fixture
def bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of an empty bucket."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        Broken.port = free.getsockname()[1]
    command = [sys.executable, "-m", "moto.server", "-p", str(Broken.port)]
    silent = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with (
        subprocess.Popen(command, **silent) as server,  # type: ignore[call-overload]
        http.server.ThreadingHTTPServer(("127.0.0.1", 0), Broken) as proxy,
    ):
        threading.Thread(target=proxy.serve_forever, daemon=True).start()
        try:
            end = time.monotonic() + 60
            with socket.socket() as tried:
                while tried.connect_ex(("127.0.0.1", Broken.port)):
                    assert time.monotonic() < end
                    time.sleep(0.1)
            here = f"http://127.0.0.1:{proxy.server_address[1]}"
            for name, value in (
                ("AWS_ENDPOINT_URL", here), ("AWS_ACCESS_KEY_ID", "a"),
                ("AWS_SECRET_ACCESS_KEY", "b"), ("AWS_DEFAULT_REGION", "us-east-1"),
                ("XDG_CACHE_HOME", str(tmp_path / "cache")),
            ):  # fmt: skip
                monkeypatch.setenv(name, value)
            for kept in (store._system, store._version, store.Kept.of_process):
                kept.cache_clear()
            Broken.broken = False
            import s3fs

            s3fs.S3FileSystem(skip_instance_cache=True).mkdir("kinetics")
            yield "s3://kinetics"
        finally:
            proxy.shutdown()
            server.kill()
            for kept in (store._system, store._version, store.Kept.of_process):
                kept.cache_clear()


@needs_s3
@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 2])
def test_a_training_from_a_bucket_that_fails_has_the_same_bits(
    shards: Path, bucket: str, tmp_path: Path, workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    import s3fs

    s3fs.S3FileSystem(skip_instance_cache=True).put(f"{shards}/", f"{bucket}/", recursive=True)
    Broken.broken = True
    monkeypatch.setattr(store, "PAUSES", (0.1,) * 6)
    expected = weights_of(tmp_path / "a", "data=shards", f"data.root={shards}")
    options = ("data=shards", f"data.root={bucket}", f"data.workers={workers}")
    assert same(expected, weights_of(tmp_path / "b", *options))
    assert len(set(Broken.fetched)) == 10  # not the two test videos
    Broken.fetched.clear()
    weights_of(tmp_path / "c", *options)
    assert not Broken.fetched  # the versions are looked up; the videos are in the cache
    monkeypatch.setenv(store.CACHE_GB, "0")
    store.Kept.of_process.cache_clear()
    s3fs.S3FileSystem(skip_instance_cache=True).rm(f"{bucket}/000003.tar")
    with pytest.raises(StoreError, match=r"s3://kinetics/000003.tar: cannot be read .*credentials"):
        weights_of(tmp_path / "d", *options)
    assert not list((tmp_path / "d").rglob("skipped.csv"))


@needs_s3
@pytest.mark.slow
def test_the_cache_is_bounded_and_survives_several_processes_and_a_kill(
    bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import s3fs

    listed = []
    for number in range(12):
        (tmp_path / f"{number}.mp4").write_bytes(os.urandom(200_000))
        listed.append(Listed(tmp_path / f"{number}.mp4", "ab"[number % 2]))
    write_shards(Listing(listed, tmp_path), tmp_path / "out", 1_000_000)
    s3fs.S3FileSystem(skip_instance_cache=True).put(
        f"{tmp_path}/out/", f"{bucket}/", recursive=True
    )
    monkeypatch.setenv(store.CACHE_GB, "0.0012")
    program = (
        "import sys; from video_gc.data.shards.open import open_shards\n"
        "index = open_shards(sys.argv[1]).train\n"
        "while True:\n"
        "    for row in range(len(index)):\n"
        "        assert len(index.path(row).open().read()) == index.path(row).size\n"
        "    print(row, flush=True)\n"
    )
    readers = [
        subprocess.Popen([sys.executable, "-c", program, bucket], stdout=subprocess.PIPE)
        for _ in range(3)
    ]
    try:
        for reader in readers:
            assert reader.stdout is not None
            for _ in range(3):
                assert reader.stdout.readline()
        readers[0].kill()
        for reader in readers[1:]:
            assert reader.stdout is not None
            for _ in range(3):
                assert reader.stdout.readline()
            assert reader.poll() is None
    finally:
        for reader in readers:
            reader.kill()
            reader.communicate()
    ranges = tmp_path / "cache" / "video_gc" / "shards" / "ranges"
    kept = sum(file.stat().st_size for file in ranges.rglob("*.val"))
    assert 400_000 <= kept <= 1_200_000 + 3 * 200_000  # each process may be adding one
