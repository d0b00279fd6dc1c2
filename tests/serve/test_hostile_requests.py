"""Uploads that are no video, too large, too slow or malformed: an answer, and the server lives."""

import http.server
import io
import os
import random
import signal
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from tests.conftest import counted_frames
from tests.processes import children, resident
from tests.serve.client import Served, client, get, post
from video_gc.decode.write import write_video
from video_gc.serve.download import download
from video_gc.serve.service import Service


def exchange(address: str, head: str, body: bytes = b"") -> str:
    """What a server answers to bytes that no library would send, until it closes."""
    host, port = address.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        connection.sendall(head.replace("\n", "\r\n").encode() + b"\r\n\r\n" + body)
        found = b""
        while chunk := connection.recv(65536):
            found += chunk
    return found.decode()


def test_files_that_are_no_video_are_422(
    served: Served, damaged: dict[str, Path], video: Path
) -> None:
    address = served()
    for name, path in damaged.items():
        answer = post(address, path.read_bytes())
        assert answer.status_code == 422, name
        assert answer.json()["detail"].startswith("the video: "), name
        assert "\n" not in answer.json()["detail"]
        assert "/" not in answer.json()["detail"], name  # no path of the server's
    assert post(address, video.read_bytes()).status_code == 200


@pytest.mark.slow
def test_two_hundred_sound_and_hostile_uploads_by_eight_clients(
    served: Served, service: Service, video: Path
) -> None:
    address, sound = served(max_mb=0.5), video.read_bytes()
    expected = post(address, sound).json()
    draw = random.Random(0)

    def upload(number: int) -> tuple[str, bytes]:
        kind = ("sound", "sound", "empty", "noise", "cut", "changed", "playlist", "large")[
            number % 8
        ]
        if kind == "changed":
            changed = bytearray(sound)
            for place in draw.sample(range(len(sound)), 30):
                changed[place] = draw.randrange(256)
            return kind, bytes(changed)
        return kind, {
            "sound": sound, "empty": b"", "noise": draw.randbytes(5000),
            "cut": sound[: draw.randrange(1, len(sound) // 2)],
            "playlist": b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n", "large": bytes(600_000),
        }[kind]  # fmt: skip

    uploads = [upload(number) for number in range(200)]
    kept = []
    with ThreadPoolExecutor(8) as clients:
        for part in (uploads[:100], uploads, uploads[100:]):  # the first loads what is loaded once
            answers = list(clients.map(lambda one: post(address, one[1]), part))
            for (kind, _), answer in zip(part, answers, strict=True):
                allowed = {"sound": [200], "changed": [200, 422], "large": [413]}.get(kind, [422])
                assert answer.status_code in allowed, (kind, answer.text)
                if kind == "sound":
                    same = [
                        {"label": one["label"], "score": pytest.approx(one["score"], abs=1e-5)}
                        for one in expected
                    ]
                    assert answer.json() == same
            kept.append(sum(map(resident, (os.getpid(), *children()))))
    assert kept[2] - kept[1] < 40
    assert "video_gc_requests_inside 0.0" in get(f"{address}/metrics").text
    assert get(f"{address}/health").status_code == 200


def test_names_and_types_of_the_client_do_not_matter(served: Served, video: Path) -> None:
    address, content = served(), video.read_bytes()
    expected = post(address, content).json()
    for name in ("../../../etc/passwd", "/etc/passwd", "a\x00b", "x" * 1000, "\u202e=cmd|' /C'!A0"):
        assert post(address, content, name=name).json() == expected
    with client() as own:
        files = {"file": ("v.txt", content, "text/html")}
        assert own.post(f"{address}/predict", files=files).json() == expected


def test_requests_without_a_video(served: Served, video: Path) -> None:
    address = served()
    with client() as own:
        for given, status, said in (
            ({}, 422, "send a form with the video as `file`"),
            ({"json": {"file": "a"}}, 422, "send a form"),
            ({"data": {"file": "a"}}, 422, "file: "),
            ({"content": video.read_bytes()}, 422, "send a form"),
            ({"data": {"url": "x"}, "files": {"file": b"x"}}, 422, "send a form"),
            ({"files": {"file": b"x"}, "params": {"top_k": 0}}, 422, "top_k: "),
            ({"files": {"file": b"x"}, "params": {"top_k": "many"}}, 422, "top_k: "),
            (
                {"content": b"x", "headers": {"content-type": "multipart/form-data"}},
                400,
                "Missing boundary",
            ),
        ):
            answer = own.post(f"{address}/predict", **given)  # type: ignore[arg-type]
            assert answer.status_code == status, given
            assert said in answer.json()["detail"]
        assert own.get(f"{address}/predict").status_code == 405


def test_bodies_that_are_too_large(served: Served) -> None:
    address = served(max_mb=0.5)
    answer = post(address, bytes(600_000))
    assert answer.status_code == 413
    assert "larger than 0.5 MiB (--max-mb)" in answer.json()["detail"]
    head = "POST /predict HTTP/1.1\nHost: a\nConnection: close\n"
    form = "Content-Type: multipart/form-data; boundary=b"
    said = exchange(
        address, f"{head}Content-Length: {10**15}\n{form}"
    )  # nothing of it is waited for
    assert said.startswith("HTTP/1.1 413 ")
    part = b'--b\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n' + bytes(
        600_000
    )
    said = exchange(
        address, f"{head}Transfer-Encoding: chunked\n{form}", b"%x\r\n%s\r\n" % (len(part), part)
    )
    assert said.startswith("HTTP/1.1 413 ")
    assert "--max-mb" in said


def test_a_body_that_never_ends_is_408(served: Served) -> None:
    address = served(timeout=0.5)
    said = exchange(
        address,
        "POST /predict HTTP/1.1\nHost: a\nConnection: close\nContent-Length: 900\n"
        "Content-Type: multipart/form-data; boundary=b",
        b"--b\r\n",
    )
    assert said.startswith("HTTP/1.1 408 ")
    assert "not complete after 0.5 s (--timeout)" in said
    assert "requests_inside 0" in get(f"{address}/metrics").text


def test_a_head_that_never_ends_is_left(served: Served, service: Service) -> None:
    address = served(timeout=0.5)
    half = b"GET /health HTTP/1.1\r\nHost: a\r\nX: "
    port = int(address.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(half)
        with suppress(ConnectionResetError):
            assert connection.recv(99) == b""  # it was closed
    said = exchange(address, "GET /health HTTP/1.1\nHost: a", half)
    assert said.startswith("HTTP/1.1 200 OK")
    assert said.endswith(f'{{"status":"ok","decoders":{service.decoders.count}}}')


def test_a_request_may_be_in_work_for_longer_than_its_head(
    served: Served, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    address, closed = served(timeout=0.2), threading.Event()

    class Alive:
        @property
        def alive(self) -> bool:
            closed.wait(0.5)
            return True

    monkeypatch.setattr(service, "batches", Alive())
    assert get(f"{address}/health").json() == {"status": "ok", "decoders": service.decoders.count}


def test_a_video_that_is_too_long(served: Served, tmp_path: Path) -> None:
    film = write_video(tmp_path / "long.mp4", counted_frames(42), fps=2)
    answer = post(served(), film.read_bytes())
    assert answer.status_code == 422
    assert "lasts 21 s, and at most 20 s are accepted (--max-seconds)" in answer.json()["detail"]


@pytest.mark.slow  # a new decoder imports torch
def test_a_decoder_that_dies_is_replaced(
    served: Served, service: Service, video: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = served()
    monkeypatch.setattr("video_gc.serve.service.read_windows", killed)
    answer = post(address, video.read_bytes())
    assert answer.status_code == 422
    assert "the decoder's process died (SIGKILL)" in answer.json()["detail"]
    monkeypatch.setattr("video_gc.serve.service.read_windows", hanging)
    assert post(served(timeout=1), video.read_bytes()).status_code == 504
    monkeypatch.undo()
    assert post(address, video.read_bytes()).status_code == 200
    for child in list(service.decoders.idle.queue):  # the system may kill one that is idle
        os.kill(child.pid, signal.SIGKILL)
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert post(address, video.read_bytes()).status_code == 200


def killed(*_: object) -> None:
    """In the place of `read_windows`, in the decoder's process."""
    os.kill(os.getpid(), signal.SIGKILL)


def hanging(*_: object) -> None:
    """In the place of `read_windows`, in the decoder's process."""
    time.sleep(600)


class Files(http.server.BaseHTTPRequestHandler):
    """A host with one video, a redirect to it, and a large file."""

    content = b""

    def do_GET(self) -> None:
        asked.append((self.path, self.headers["Host"]))
        kind = self.path.strip("/")
        if kind == "slow":
            with suppress(OSError):
                for sign in b"HTTP/1.1 200 OK\r\n" + b"X: " + bytes(600):
                    self.wfile.write(bytes([sign]))
                    time.sleep(0.1)
            return
        self.send_response({"moved": 302, "none": 404}.get(kind, 200))
        if kind == "moved":
            self.send_header("Location", "/video")
        self.end_headers()
        if kind == "video":
            self.wfile.write(self.content)
        if kind == "large":
            self.wfile.write(bytes(2_000_000))

    def log_message(self, *_: object) -> None:
        """Print nothing."""


asked: list[tuple[str, str]] = []


@pytest.fixture
def elsewhere(video: Path) -> Iterator[int]:
    """The port of another host, which keeps what it is `asked`."""
    Files.content = video.read_bytes()
    asked.clear()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Files) as host:
        thread = threading.Thread(target=host.serve_forever)
        thread.start()
        yield host.server_address[1]
        host.shutdown()
        thread.join()


def ask(address: str, url: str) -> tuple[int, str]:
    with client() as own:
        answer = own.post(f"{address}/predict", data={"url": url})
    found = answer.json()
    return answer.status_code, found["detail"] if isinstance(found, dict) else ""


def test_no_address_is_fetched_by_default(served: Served, elsewhere: int) -> None:
    address = served()
    for url in (
        f"http://127.0.0.1:{elsewhere}/video",
        f"http://localhost:{elsewhere}/video",
        f"http://[::1]:{elsewhere}/video",
        f"http://2130706433:{elsewhere}/video",
        "http://169.254.169.254/latest/meta-data",
        "file:///etc/passwd", "ftp://a.org/x", "gopher://a.org", "http://", "http://[", "x",
        "http://a.org:99999/",
    ):  # fmt: skip
        status, detail = ask(address, url)
        assert status == 403, url
        assert "url" in detail or "--allow-url" in detail
    assert asked == []


def test_a_look_up_that_hangs_ends_at_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    found = threading.Event()

    def hangs(*_: object, **_named: object) -> list[object]:
        found.wait(60)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", hangs)
    try:
        with pytest.raises(TimeoutError):
            in_time = {"max_bytes": 1, "deadline": time.monotonic() + 0.2}
            download("http://a.org/video", ["a.org"], io.BytesIO(), **in_time)
        assert not found.is_set()
    finally:
        found.set()


def test_an_address_of_ipv6_is_allowed_in_brackets(video: Path) -> None:
    Files.content = video.read_bytes()
    asked.clear()
    try:
        host = SixServer(("::1", 0), Files)
    except OSError:
        pytest.skip("there is no IPv6 here")
    with host, ThreadPoolExecutor(1) as own:
        own.submit(host.serve_forever)
        here, out = f"[::1]:{host.server_address[1]}", io.BytesIO()
        try:
            in_time = {"max_bytes": 1 << 20, "deadline": time.monotonic() + 30}
            download(f"http://{here}/video", [here], out, **in_time)
        finally:
            host.shutdown()
    assert out.getvalue() == Files.content
    assert asked == [("/video", here)]


class SixServer(http.server.ThreadingHTTPServer):
    address_family = socket.AF_INET6


def test_allowed_hosts_only_and_no_private_address_behind_a_name(
    served: Served, elsewhere: int, video: Path
) -> None:
    here = f"127.0.0.1:{elsewhere}"
    address = served(allow_url=(here, f"localhost:{elsewhere}", "nowhere.invalid"), max_mb=1)
    assert ask(address, f"http://{here}/video") == (200, "")
    assert asked == [("/video", here)]
    for url, status, said in (
        (f"http://localhost:{elsewhere}/video", 403, "localhost leads to a private address"),
        (f"http://{here}@127.0.0.2/video", 403, "url must be http://HOST/PATH"),
        ("http://127.0.0.1/video", 403, "127.0.0.1 is not an allowed host (--allow-url)"),
        ("http://nowhere.invalid/a", 422, "nowhere.invalid has no address"),
        (f"http://{here}/moved", 422, "answered 302, not 200"),
        (f"http://{here}/none", 422, "answered 404, not 200"),
        (f"http://{here}/large", 422, "larger than 1 MiB (--max-mb)"),
        (f"http://{here}/empty", 422, "the video: "),
    ):
        found, detail = ask(address, url)
        assert found == status, url
        assert said in detail
    assert {path for path, _ in asked} == {"/video", "/moved", "/none", "/large", "/empty"}
    status, detail = ask(served(allow_url=(here,), timeout=1), f"http://{here}/slow")
    assert status == 504
    assert "not done within 1 s (--timeout)" in detail


def test_a_server_for_this_machine_answers_to_its_own_names_only(served: Served) -> None:
    address = served(local=True)
    port = address.rpartition(":")[2]
    with client() as own:
        for host, status in (
            (f"127.0.0.1:{port}", 200),
            (f"localhost:{port}", 200),
            ("[::1]", 200),
            (f"evil.example:{port}", 400),
            ("127.0.0.1.evil.example", 400),
            ("[", 400),
        ):
            answer = own.get(f"{address}/contract", headers={"Host": host})
            assert answer.status_code == status, host
    assert answer.json()["detail"].startswith("the host of the request must be 127.0.0.1 or local")
    with client() as own:
        answer = own.get(f"{served()}/contract", headers={"Host": "videos.example"})
    assert answer.status_code == 200


def test_a_server_for_this_machine_refuses_pages_from_elsewhere(served: Served) -> None:
    address = served(local=True)
    with client() as own:
        for origin, status in (
            (address, 422),  # there is no video in the form
            ("http://localhost:3000", 422),
            ("http://evil.example", 403),
            ("http://127.0.0.1.evil.example", 403),
            ("null", 403),
        ):
            answer = own.post(f"{address}/predict", headers={"Origin": origin})
            assert answer.status_code == status, origin
    assert "from a page of another host" in answer.json()["detail"]
    with client() as own:
        answer = own.post(f"{served()}/predict", headers={"Origin": "http://videos.example"})
    assert answer.status_code == 422
