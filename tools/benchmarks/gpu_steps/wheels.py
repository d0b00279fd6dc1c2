"""Bring along what `make gpu` needs on a machine without a network: wheels in build/wheels.

    python tools/benchmarks/gpu_steps/wheels.py --python 3.12 --there names.txt

Run it where the package is installed and a network is at hand; the versions are those installed
here. torch and what comes with it stay as they are on the other machine. --there: the other
machine's `pip list --format=freeze`, or names alone: what it has is left out.
"""

import argparse
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from importlib.metadata import PackageNotFoundError, distribution, requires
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

STAYS = re.compile(r"torch|torchvision|triton|nvidia-.*|cuda-.*|setuptools")
TESTS = ("pytest", "pytest-xdist", "hypothesis")
"""Those of the extra dev that the tests need."""
LINUX = ("manylinux_2_28", "manylinux_2_27", "manylinux_2_17", "manylinux2014", "manylinux1")
MIB = 1 << 20


def main() -> None:
    """Fill the folder, and print what is in it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--python", default="3.12", help="the other machine's Python (3.12)")
    parser.add_argument("--there", type=Path, help="file of what the other machine has")
    parser.add_argument("--out", type=Path, default=Path("build/wheels"), help="(build/wheels)")
    options = parser.parse_args()
    there = read_there(options.there.read_text("utf-8")) if options.there else {}
    shutil.rmtree(options.out, ignore_errors=True)
    options.out.mkdir(parents=True)
    for name in missing(needed(options.python), there):
        bring(name, options.python, options.out)
    sizes = {wheel.name: wheel.stat().st_size / MIB for wheel in options.out.glob("*.whl")}
    for wheel, size in sorted(sizes.items(), key=lambda item: -item[1]):
        print(f"{size:8.2f} MiB  {wheel}")
    print(f"{sum(sizes.values()):8.2f} MiB  in {len(sizes)} wheels")


def read_there(text: str) -> dict[str, str]:
    """Name → version, "" where it is not told, from lines `name==version` or `name`."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        name, _, version = line.partition("#")[0].strip().partition("==")
        if name:
            found[canonicalize_name(name)] = version
    return found


def needed(python: str) -> dict[str, list[Requirement]]:
    """All libraries of the package, of torchcodec's extra and of the tests → what is asked of
    them. Raises PackageNotFoundError for one that is not installed here."""
    marker = {"python_version": python, "python_full_version": f"{python}.0",
              "platform_system": "Linux", "sys_platform": "linux", "extra": ""}  # fmt: skip
    found: dict[str, list[Requirement]] = {}
    tests = [r for r in _of("video_gc", {"dev"}, marker) if canonicalize_name(r.name) in TESTS]
    waiting = [*tests, *_of("video_gc", {"", "torchcodec"}, marker)]
    while waiting:
        asked = waiting.pop()
        name = canonicalize_name(asked.name)
        if STAYS.fullmatch(name):
            continue
        known = name in found
        found.setdefault(name, []).append(asked)
        if not known or asked.extras:
            waiting += _of(name, {"", *asked.extras}, marker)
    return found


def missing(asked: dict[str, list[Requirement]], there: dict[str, str]) -> Iterator[str]:
    """Those that are not there, or in a version that is told and does not do."""
    for name, requirements in sorted(asked.items()):
        version = there.get(name)
        unfit = version and any(not r.specifier.contains(version, True) for r in requirements)
        if version is None or unfit:
            yield name


def bring(name: str, python: str, out: Path) -> None:
    """Download or build the wheel of one library. Raises CalledProcessError."""
    found = distribution(name)
    wanted = f"{name}=={found.version}"
    pip = [sys.executable, "-m", "pip", "-q", "--disable-pip-version-check"]
    if "-none-any" in (found.read_text("WHEEL") or ""):  # some are only there as source
        command = [*pip, "wheel", "--no-deps", "-w", str(out), wanted]
    else:
        systems = [f"--platform={system}_x86_64" for system in LINUX]
        command = [*pip, "download", "--no-deps", "--only-binary=:all:", *systems,
                   f"--python-version={python}", "-d", str(out), wanted]  # fmt: skip
    subprocess.run(command, check=True)


def _of(name: str, extras: Iterable[str], marker: dict[str, str]) -> list[Requirement]:
    """What a library asks for on the other machine."""
    all_of_it = map(Requirement, requires(name) or [])
    return [
        r for r in all_of_it
        if not r.marker or any(r.marker.evaluate(marker | {"extra": extra}) for extra in extras)
    ]  # fmt: skip


if __name__ == "__main__":
    try:
        main()
    except PackageNotFoundError as error:
        sys.exit(f"{error.name} is not installed here; run make install first")
