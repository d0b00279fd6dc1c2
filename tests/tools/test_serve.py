"""tools/serve.py as a process: it answers, and ends without leaving anything."""

import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.serve.client import post
from tests.tools.conftest import TOOLS


@pytest.mark.slow
def test_it_answers_until_it_is_told_to_end(
    checkpoint: Path, video: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with subprocess.Popen(
        [sys.executable, TOOLS / "serve.py", checkpoint, "--port", str(port), "--device", "cpu"],
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        lines = []
        for line in process.stderr:
            lines.append(line)
            if "POST a video to" in line:
                break
        answer = post(f"http://127.0.0.1:{port}", video.read_bytes(), top_k=1)
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        process.send_signal(signal.SIGINT)
        rest = process.stderr.read()
    assert "clips of 4×2 frames at 30 Hz as in training" in "".join(lines)
    assert answer.status_code == 200
    assert process.returncode == 130
    assert "Traceback" not in rest
    assert children
    assert not [child for child in children if Path(f"/proc/{child}").exists()]
    assert list(tmp_path.iterdir()) == []
