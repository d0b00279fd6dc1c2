"""Downloads from a server of our own: resumed, checked, and never half a file under its name."""

import hashlib
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch

from video_gc.models.weights.download import download

CONTENT = bytes(range(256)) * 5000


class Server(ThreadingHTTPServer):
    """Serves CONTENT under any name; breaks off after `limit` bytes of a response."""

    limit: int | None = None
    ranges = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[str | None] = []
        self.url = f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        wanted = self.headers["Range"]
        self.server.asked.append(wanted)
        if self.path.endswith("missing.pth"):
            self.send_error(404)
            return
        start = int(wanted[6:-1]) if wanted and self.server.ranges else 0
        if start > len(CONTENT):
            self.send_error(416)
            return
        body = CONTENT[start:]
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: self.server.limit])

    def log_message(self, *_arguments: object) -> None:
        pass


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path / "hub"))
    with Server() as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield running
        running.shutdown()


def test_a_download_goes_through_the_cache(server: Server, tmp_path: Path) -> None:
    path = download(f"{server.url}/weights.pth")
    assert path == tmp_path / "hub" / "checkpoints" / "weights.pth"
    assert path.read_bytes() == CONTENT
    download(f"{server.url}/weights.pth")
    assert len(server.asked) == 1


@pytest.mark.parametrize("ranges", [True, False])
def test_a_broken_download_goes_on_where_it_stopped(
    server: Server, tmp_path: Path, ranges: bool
) -> None:
    server.limit, server.ranges = 300_000, ranges
    with pytest.raises(OSError, match=r"cannot download .*rerun the command to resume, .*by hand"):
        download(f"{server.url}/weights.pth")
    folder = tmp_path / "hub" / "checkpoints"
    assert [file.name for file in folder.glob("w*")] == ["weights.pth.part"]
    server.limit = None
    assert download(f"{server.url}/weights.pth").read_bytes() == CONTENT
    assert server.asked == [None, "bytes=300000-"]
    assert {file.name for file in folder.glob("w*")} == {"weights.pth", "weights.pth.sha256"}


def test_a_part_that_is_too_long_is_begun_again(server: Server, tmp_path: Path) -> None:
    part = tmp_path / "hub" / "checkpoints" / "weights.pth.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(b"x" * (len(CONTENT) + 1))
    assert download(f"{server.url}/weights.pth").read_bytes() == CONTENT


def test_processes_that_want_the_same_file_fetch_it_once(server: Server) -> None:
    with ThreadPoolExecutor(4) as pool:
        paths = list(pool.map(download, [f"{server.url}/weights.pth"] * 4))
    assert len(set(paths)) == 1
    assert paths[0].read_bytes() == CONTENT
    assert len(server.asked) == 1


def test_files_of_one_name_under_two_urls_stay_apart(server: Server) -> None:
    one, two = (download(f"{server.url}/{f}/weights.pth", shared=False) for f in ("a", "b"))
    assert one != two
    assert one.name == two.name == "weights.pth"
    with pytest.raises(ValueError, match="names no file of weights"):
        download(f"{server.url}/")


def test_a_published_hash_is_verified(server: Server, tmp_path: Path) -> None:
    right = hashlib.sha256(CONTENT).hexdigest()[:8]
    assert download(f"{server.url}/net-{right}.pth").read_bytes() == CONTENT
    with pytest.raises(OSError, match="does not match the hash 0123abcd"):
        download(f"{server.url}/net-0123abcd.pth")
    left = {file.name for file in (tmp_path / "hub" / "checkpoints").iterdir()}
    assert {name for name in left if name[0] != "."} == {f"net-{right}.pth"}


def test_a_missing_file_names_the_way_out(server: Server) -> None:
    with pytest.raises(OSError, match=r"cannot download .*missing.pth \(Not Found\).*by hand"):
        download(f"{server.url}/missing.pth")


def test_a_server_that_is_not_there(server: Server) -> None:
    with pytest.raises(OSError, match="cannot download http://127.0.0.1:9/x.pth"):
        download("http://127.0.0.1:9/x.pth")


def test_a_local_url(server: Server, tmp_path: Path) -> None:
    (tmp_path / "local.pth").write_bytes(CONTENT)
    assert download((tmp_path / "local.pth").as_uri()).read_bytes() == CONTENT


def test_a_file_without_a_published_hash_is_known_again(server: Server) -> None:
    """What its first use saw is what it must be, on the disk and from the server."""
    url = f"{server.url}/weights.pth"
    path = download(url)
    note = path.with_name("weights.pth.sha256")
    assert note.read_text().strip() == hashlib.sha256(CONTENT).hexdigest()
    path.write_bytes(CONTENT[:-1] + b"!")
    with pytest.raises(ValueError, match=r"weights.pth: has changed .*delete weights.pth.sha25"):
        download(url)
    path.unlink()
    assert download(url).read_bytes() == CONTENT
    assert len(server.asked) == 2
    note.write_text(hashlib.sha256(b"as the server had it then").hexdigest())
    path.unlink()
    with pytest.raises(ValueError, match="has changed since its first use"):
        download(url)
    note.write_text("")  # broken off while it was written
    assert download(url) == path
    assert note.read_text().strip() == hashlib.sha256(CONTENT).hexdigest()


def test_a_kept_file_with_a_published_hash_is_checked_by_it(server: Server) -> None:
    name = f"net-{hashlib.sha256(CONTENT).hexdigest()[:8]}.pth"
    path = download(f"{server.url}/{name}")
    assert not path.with_name(f"{name}.sha256").exists()
    path.write_bytes(CONTENT[1:])
    with pytest.raises(ValueError, match="does not match the hash .* in its name; delete it"):
        download(f"{server.url}/{name}")


def test_a_folder_that_takes_no_note(
    server: Server, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_arguments: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "write_text", refuse)
    assert download(f"{server.url}/weights.pth").read_bytes() == CONTENT
    assert "will not be checked" in capsys.readouterr().err.replace("\n", " ")
