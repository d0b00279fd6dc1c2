"""Download published files into torch.hub's cache, with progress; a broken download resumes."""

import hashlib
import os
import re
from http import HTTPStatus
from http.client import HTTPException
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.parse import urlparse
from urllib.request import Request, urlopen

import torch
from filelock import FileLock

from video_gc.progress import download_bar, say

CHUNK = 1 << 20  # bytes


def download(url: str, *, shared: bool = True) -> Path:
    """The local copy of `url`, downloaded if the cache lacks it.

    shared: store it under its name, as torch.hub does; otherwise in a folder for this URL, because
        many URLs have files of the same name.

    A partial download stays in NAME.part and is resumed. A file with a hash in its name, such as
    torchvision's (`resnet50-0676ba61.pth`), is checked against it. The hash of any other file is
    written beside it at first use (NAME.sha256) and checked afterwards. Processes that need the
    same file wait for the one that downloads it.

    Raises ValueError for a URL without a file name and for a changed file, OSError naming the URL,
    the reason and the folder to put the file into by hand.
    """
    name = Path(urlparse(url).path).name
    if not name:
        raise ValueError(f"{url}: names no file of weights")
    folder = Path(torch.hub.get_dir()) / "checkpoints"
    if not shared:
        folder /= hashlib.sha256(url.encode()).hexdigest()[:12]
    target, part = folder / name, folder / f"{name}.part"
    if not target.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / f".{name}.lock"):
            if not target.is_file():  # else another process has fetched it
                _fetch_whole(url, target, part)
    _check_hash(target)
    return target


def _fetch_whole(url: str, target: Path, part: Path) -> None:
    folder = target.parent
    try:
        _fetch(url, part)
    except (URLError, HTTPException, TimeoutError, ConnectionError) as error:
        reason = getattr(error, "reason", None) or error
        raise OSError(
            f"cannot download {url} ({reason}); rerun the command to resume, "
            f"or put the file into {folder} by hand"
        ) from error
    wanted = _published_hash(target.name)
    if wanted and not _sha256(part).startswith(wanted):
        part.unlink()
        raise OSError(
            f"{url}: the download does not match the hash {wanted} in its name; try again, "
            f"or put the file into {folder} by hand"
        )
    os.replace(part, target)


def _published_hash(name: str) -> str | None:
    """The beginning of the file's SHA-256 in its name, if there is one."""
    found = re.search(r"-(?=[0-9]*[a-f])([0-9a-f]{8,})\.", name)
    return found[1] if found else None


def _check_hash(file: Path) -> None:
    """Raise ValueError if the file does not match the hash in its name or of its first use."""
    found, wanted = _sha256(file), _published_hash(file.name)
    if wanted:
        if not found.startswith(wanted):
            raise ValueError(
                f"{file}: does not match the hash {wanted} in its name; delete it to fetch it again"
            )
        return
    note = file.with_name(f"{file.name}.sha256")
    known = note.read_text("ascii", "replace").strip() if note.is_file() else ""
    if re.fullmatch(r"[0-9a-f]{64}", known):
        if found != known:
            raise ValueError(
                f"{file}: has changed since its first use (SHA-256 {found[:12]}…, then "
                f"{known[:12]}…); if you trust it, delete {note.name} beside it, else delete it to "
                "fetch it again"
            )
        return
    try:
        note.write_text(f"{found}\n", "ascii")
    except OSError as error:  # such as a folder of another user
        say(f"{note}: could not be written ({error.strerror}); {file.name} will not be checked")


def _fetch(url: str, part: Path) -> None:
    done = part.stat().st_size if part.is_file() else 0
    request = Request(url, headers={"Range": f"bytes={done}-"} if done else {})
    try:
        response = urlopen(request, timeout=60)
    except HTTPError as error:
        if error.code != HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            raise
        part.unlink()  # the server has no more bytes: complete or too long, start again
        return _fetch(url, part)
    with response:
        if getattr(response, "status", None) != HTTPStatus.PARTIAL_CONTENT:
            done = 0
        length = response.headers.get("Content-Length")
        total = done + int(length) if length else None
        with part.open("ab" if done else "wb") as file, download_bar() as bar:
            task = bar.add_task(part.stem, total=total, completed=done)
            while block := response.read(CHUNK):
                file.write(block)
                bar.advance(task, len(block))
    size = part.stat().st_size
    if total is not None and size != total:
        raise ConnectionError(f"it broke off after {size} of {total} bytes")
    return None


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
