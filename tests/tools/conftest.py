"""Tools are run as their users run them, but in this process."""

import logging
import runpy
import sys
from pathlib import Path

import pytest

TOOLS = Path(__file__).parents[2] / "tools"
sys.path.append(str(TOOLS))  # where python looks for what a tool imports: tools/benchmarks


@pytest.fixture
def tool(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]):  # type: ignore[no-untyped-def]
    """Run a tool in this process; returns (exit status, stdout, stderr with single spaces)."""

    # When Hydra sets up logging, absl, which TensorBoard brings, closes the stream that it knows if
    # that is no longer sys.stderr: under capfd it would be the one of pytest, for all later tests.
    if handlers := sys.modules.get("absl.logging"):
        monkeypatch.setattr(handlers.PythonHandler, "close", logging.StreamHandler.close)

    def call(name: str, *arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", [str(TOOLS / f"{name}.py"), *map(str, arguments)])
        status = 0
        try:
            runpy.run_path(str(TOOLS / f"{name}.py"), run_name="__main__")
        except SystemExit as stopped:
            status = int(stopped.code or 0)
        out, err = capfd.readouterr()
        assert "Traceback" not in err
        return status, out, " ".join(err.split())

    return call
