"""The wheel alone, outside the clone: the command finds configs, tools and labels in it."""

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

from tests.conftest import SMALL

pytestmark = pytest.mark.slow
CLONE = Path(__file__).parents[2]
SOURCES = ("video_gc", "configs", "datasets", "tools", "setup.py", "setup.cfg", "pyproject.toml",
           "README.md", "LICENSE")  # fmt: skip


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """video-gc of an environment that has the wheel, and beside it the libraries of this one."""
    folder = tmp_path_factory.mktemp("installed")
    for name in SOURCES:
        if (CLONE / name).is_dir():
            shutil.copytree(CLONE / name, folder / "clone" / name)
        else:
            (folder / "clone").mkdir(exist_ok=True)
            shutil.copy(CLONE / name, folder / "clone")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q"]
    built = ["wheel", "--no-deps", "--no-build-isolation", "-w", folder, folder / "clone"]
    subprocess.run([*pip, *map(str, built)], check=True)
    (wheel,) = folder.glob("*.whl")
    venv.create(folder / "env", symlinks=True)
    own = Path(sysconfig.get_path("purelib", vars={"base": str(folder / "env")}))
    (own / "libraries.pth").write_text(sysconfig.get_path("purelib"))
    python = folder / "env" / "bin" / "python"
    subprocess.run([*pip, "--python", str(python), "install", "--no-deps", str(wheel)], check=True)
    shutil.rmtree(folder / "clone")
    return python.with_name("video-gc")


def said(command: Path, *arguments: object, cwd: Path) -> str:
    """Output and errors of video-gc, which ends well."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [command, *map(str, arguments)], cwd=cwd, env=environment, check=False, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_train_and_predict(installed: Path, clips_folder: Path, tmp_path: Path) -> None:
    said(installed, "train", *SMALL, f"data.root={clips_folder}", "name=mine", cwd=tmp_path)
    video = next(clips_folder.rglob("*.mp4"))
    assert video.name in said(installed, "predict", "runs/mine", video, cwd=tmp_path)
    assert "top-1" in said(installed, "test", "runs/mine", cwd=tmp_path)
    assert "report.html" in said(installed, "report", "runs/mine", cwd=tmp_path)


def test_what_is_shipped_is_found(installed: Path, tmp_path: Path) -> None:
    assert "without" in said(installed, "ablate", "ablation=demo", "dry=true", cwd=tmp_path)
    assert "blocks" in said(installed, "benchmark", "--help", cwd=tmp_path)
    program = (
        "import video_gc; from video_gc.data.annotations.text_files import read_names; "
        "print(video_gc.__file__, len(read_names('datasets/kinetics400/labels.txt')))"
    )
    found = said(installed.with_name("python"), "-c", program, cwd=tmp_path).split()
    assert Path(found[0]).is_relative_to(installed.parents[1])
    assert found[1] == "400"
