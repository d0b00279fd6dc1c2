"""tools/app.py as a person meets it in a browser: headless Chromium."""

import os
import shutil
import signal
import socket
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.serve.browser import CHROMIUM, browser
from tests.serve.client import HOSTILE, client
from tests.tools.conftest import TOOLS

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("gradio") is None, reason='pip install "video_gc[app]"'),
    pytest.mark.skipif(not CHROMIUM.is_file(), reason="there is no /usr/bin/chromium"),
]


def test_a_person_and_a_browser(
    checkpoint: Path, video: Path, damaged: dict[str, Path], tmp_path: Path
) -> None:
    named = shutil.copy(checkpoint, tmp_path / f"{HOSTILE}.ckpt")
    large = tmp_path / "large.mp4"
    large.write_bytes(bytes(3 << 20))
    uploads = tmp_path / "uploads"
    uploads.mkdir()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    command = [TOOLS / "app.py", named, checkpoint, "--examples", video, "--max-mb", "2"]
    with subprocess.Popen(
        [sys.executable, *command, "--port", str(port), "--device", "cpu"],
        stderr=subprocess.PIPE, text=True, env=os.environ | {"TMPDIR": str(uploads)},
    ) as process:  # fmt: skip
        assert process.stderr is not None
        try:
            assert any("Open http://127.0.0.1" in line for line in process.stderr)
            with client() as own:
                assert own.get(address, headers={"Host": "evil.example"}).status_code == 400
                for path in ("/etc/passwd", damaged["text"], Path(__file__)):
                    answer = own.get(f"{address}/gradio_api/file={path}")
                    assert answer.status_code == 403, path
                large_upload = own.post(
                    f"{address}/gradio_api/upload", files={"files": ("a.mp4", large.read_bytes())}
                )
                assert large_upload.status_code == 413
            _drive(address, video, damaged["text"], large, tmp_path)
        finally:
            process.send_signal(signal.SIGTERM)
            rest = process.stderr.read()
    assert process.returncode == 143
    assert "Traceback" not in rest
    assert list(uploads.iterdir()) == []


def _drive(address: str, video: Path, text: Path, large: Path, tmp_path: Path) -> None:
    clear = "document.querySelector('#video button[aria-label=Clear]').click()"
    waiting = "document.querySelector('#video input[type=file]') !== null"
    with browser(tmp_path / "profile") as seen:
        seen.size(1400, 1000)
        seen.call("Page.navigate", url=address)
        seen.until(waiting)
        seen.upload("#video input[type=file]", video)
        seen.until("document.querySelectorAll('.vg-picture img').length == 2")
        assert seen.run("document.querySelectorAll('.vg-line button').length") == 24
        seen.run("document.querySelectorAll('.vg-line button')[3].click()")
        seen.until("Math.abs(document.querySelector('#video video').currentTime - 0.7) < 0.01")
        seen.run("document.querySelectorAll('.vg-segments button')[0].click()")
        seen.until("document.querySelector('#video video').currentTime < 0.01")
        assert "0.2 s" not in seen.run("document.querySelector('.vg-axis').innerText")
        for width in (1400, 400):
            seen.size(width, 900)
            seen.until(f"innerWidth == {width}")
            assert seen.run("document.documentElement.scrollWidth") <= width
            seen.screenshot(tmp_path / f"{width}.png")
        seen.size(1400, 1000)
        seen.run(clear)
        seen.until(waiting)
        seen.until("document.querySelectorAll('.vg-line').length == 0")
        seen.upload("#video input[type=file]", text)
        said = seen.until("document.querySelector('.vg-error')?.innerText")
        assert said.startswith("This file cannot be shown: cannot be read as a video")
        seen.run(clear)
        seen.until(waiting)
        seen.until("document.querySelector('.vg-error') === null")
        seen.upload("#video input[type=file]", large)
        seen.until("document.body.innerText.includes('The file is larger than 2 MiB (--max-mb)')")
        assert "Up to 2 MiB and 600 s." in seen.run("document.body.innerText")
        seen.upload("#video input[type=file]", video)
        seen.until("document.querySelectorAll('.vg-picture img').length == 2")
        assert "The file is larger" not in seen.run("document.body.innerText")
        assert seen.run("document.querySelectorAll('img[src=x]').length") == 0
        elsewhere = [r for r in seen.requests if not r.startswith((address, "data:", "blob:"))]
        assert elsewhere == []
        assert seen.console == []
