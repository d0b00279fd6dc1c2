"""FFmpeg's shared libraries for torchcodec, from PyAV's wheel.

torchcodec contains no FFmpeg. PyAV does (FFmpeg 8), under names that the loader does not find.
Links with the usual names, and LD_LIBRARY_PATH, make torchcodec load PyAV's libraries. The variable
must be set before the process starts:

    eval "$(python -m video_gc.decode.ffmpeg_env)"
"""

import hashlib
import os
import re
import shlex
import sys
from importlib.util import find_spec
from pathlib import Path

from video_gc.shipped import cache_folder

COMMAND = 'eval "$(python -m video_gc.decode.ffmpeg_env)"'
MANGLED = re.compile(r"(lib(?:av|sw)\w+)-[0-9a-f]+\.so\.(\d+)[\d.]*")


def main() -> None:
    """Print the line for the shell; nothing and exit code 1 without PyAV's libraries."""
    try:
        print(f"export LD_LIBRARY_PATH={shlex.quote(library_path())}")
    except FileNotFoundError as error:
        sys.exit(str(error))


def library_path() -> str:
    """The value for LD_LIBRARY_PATH: links, PyAV's libraries, and the previous value.

    Writes the links to the user's cache folder (XDG_CACHE_HOME).
    Raises FileNotFoundError if PyAV has no libraries (built from source, macOS, Windows).
    """
    libraries = bundled_libraries()
    links = cache_folder("ffmpeg") / _name_of(libraries)
    links.mkdir(parents=True, exist_ok=True)
    for file in libraries.iterdir():
        match = MANGLED.fullmatch(file.name)
        if match:
            link = links / f"{match[1]}.so.{match[2]}"
            fresh = link.with_name(f".{link.name}.{os.getpid()}")
            fresh.unlink(missing_ok=True)
            fresh.symlink_to(file)
            fresh.replace(link)
    own = [str(links), str(libraries)]
    before = [p for p in os.environ.get("LD_LIBRARY_PATH", "").split(":") if p and p not in own]
    return ":".join(own + before)


def bundled_libraries() -> Path:
    """The folder of FFmpeg's libraries in PyAV's wheel. Raises FileNotFoundError."""
    spec = find_spec("av")
    folder = Path(spec.origin).parents[1] / "av.libs" if spec and spec.origin else Path("av.libs")
    if not folder.is_dir() or not any(MANGLED.fullmatch(file.name) for file in folder.iterdir()):
        raise FileNotFoundError(
            f"{folder}: PyAV's own FFmpeg libraries are not there; install FFmpeg 4 to 9 with the "
            "system's package manager instead"
        )
    return folder


def _name_of(folder: Path) -> str:
    """A name for the set of libraries, so that several environments can share the cache."""
    names = "\n".join(sorted(str(file) for file in folder.iterdir()))
    return hashlib.sha256(names.encode()).hexdigest()[:16]


if __name__ == "__main__":
    main()
