"""Files of a stranger that name other things, and a process that opens them under watch.

`python -m tests.decode.hostile FOLDER DECODER…` opens each file of FOLDER/files, as a path, as bytes
and as an open file, and prints what came of it. From then on a call of `socket` kills that process
and its children: the kernel sees it, whoever calls. Decoder "plain" is av.open alone, for control.
"""

import contextlib
import ctypes
import json
import os
import platform
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
from PIL import Image

from tests.decode.videos import encode
from video_gc.decode.open import open_video
from video_gc.decode.reader import DecodeError

SDP = "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 18765 RTP/AVP {}\n"
HLS = "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:5\n{}#EXTINF:5,\n{}\n#EXT-X-ENDLIST\n"
DASH = (
    '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" '
    'profiles="urn:mpeg:dash:profile:isoff-main:2011"><Period><AdaptationSet mimeType="video/mp4">'
    '<Representation id="1" bandwidth="9"><BaseURL>{}</BaseURL></Representation></AdaptationSet>'
    "</Period></MPD>"
)
IMF = (
    '<?xml version="1.0"?><CompositionPlaylist xmlns="http://www.smpte-ra.org/schemas/2067-3/2016">'
    "<Id>urn:uuid:0eb3d1b9-b77b-4d3f-bbe5-7c69b15dca84</Id></CompositionPlaylist>"
)
ELSEWHERE = {
    "neighbour": "neighbour.ts", "file": "file:{folder}/neighbour.ts", "pipe_file": "fifo.ts",
    "http": "http://127.0.0.1:18766/a.ts", "tcp": "tcp://127.0.0.1:18766", "rtp": "rtp://127.0.0.1:18768",
    "udp": "udp://127.0.0.1:18767?timeout=1000000", "rtsp": "rtsp://127.0.0.1:18766/a",
    "subfile": "subfile,,start,0,end,99999,,:neighbour.ts", "crypto": "crypto:neighbour.ts",
    "data": "data:video/mp2t;base64,R0AREA==", "stdin": "pipe:0", "fd": "fd:0",
    "cache": "cache:neighbour.ts", "concat": "concat:neighbour.ts|neighbour.ts",
}  # fmt: skip
OTHERS = {
    "sdp.mp4": SDP.format(96) + "a=rtpmap:96 H264/90000\n",
    "sdp_ts.mp4": SDP.format(33),
    "rtsp.mp4": "RTSPtextrtsp://127.0.0.1:18766/a\r\n",
    "reference.mp4": "[Reference]\r\nRef1=http://127.0.0.1:18766/a.asf\r\n",
    "asx.asf": '<ASX version="3.0"><Entry><Ref href="http://127.0.0.1:18766/a"/></Entry></ASX>',
    "avisynth.avs": 'DirectShowSource("neighbour.ts")\n',
    "vapoursynth.vpy": "import vapoursynth as vs\nvs.core.ffms2.Source('neighbour.ts').set_output()\n",
    "subtitles.idx": "# VobSub index file, v7\nid: en, index: 0\ntimestamp: 00:00:01:000, filepos: 0\n",
    "key.m3u8": HLS.format('#EXT-X-KEY:METHOD=AES-128,URI="neighbour.ts"\n', "fifo.ts"),
    "map.m3u8": HLS.format('#EXT-X-MAP:URI="neighbour.ts"\n', "fifo.ts"),
    "master.m3u8": "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=9\nlist.m3u8\n",
    "imf.xml": IMF,
    "pattern_%03d.png": "no picture",
    "pattern_%03d.jpg": "no picture",
}


def write_files(folder: Path) -> None:
    """The files, and what they name beside them."""
    files = folder / "files"
    files.mkdir()
    encode(files / "neighbour.ts", "mpeg4", {"g": "6"}, size=(16, 32))
    (files / "subtitles.sub").write_bytes(bytes(100))
    os.mkfifo(files / "fifo.ts")
    for number in range(3):
        for kind in ("png", "jpg"):
            grey = np.full((16, 16, 3), 40 * number, np.uint8)
            Image.fromarray(grey).save(files / f"pattern_{number:03d}.{kind}")
    (files / "list.m3u8").write_text(HLS.format("", "neighbour.ts"))
    hostile = dict(OTHERS)
    for name, place in ELSEWHERE.items():
        place = place.format(folder=files)
        hostile[f"concat_{name}.mp4"] = f"ffconcat version 1.0\nfile '{place}'\n"
        for suffix in ("mp4", "m3u8"):
            hostile[f"hls_{name}.{suffix}"] = HLS.format("", place)
        hostile[f"dash_{name}.mpd"] = DASH.format(place)
    for name, text in hostile.items():
        (files / name).write_text(text)
    # as a playlist for an FFmpeg that looks at the beginning, and MPEG-TS for one that looks further
    recording = (files / "neighbour.ts").read_bytes()
    (files / "both.ts").write_bytes(hostile["hls_http.mp4"].encode() + bytes(188) + recording)
    refers_outside(files / "outside.mp4", b"neighbour.ts")
    (folder / "names").write_text("\n".join([*hostile, "both.ts", "outside.mp4"]))


def refers_outside(path: Path, target: bytes) -> None:
    """An MP4 whose pictures lie in another file, as QuickTime's data references allow."""
    content = encode(path, "mpeg4", size=(16, 32)).read_bytes()
    volume = struct.pack(">HH27p", 0, 0, b"disk") + bytes(200)
    alias = bytes(10) + volume[:120] + struct.pack(">HH", 2, len(target)) + target
    alias += bytes(len(target) % 2) + struct.pack(">HH", 0xFFFF, 0)
    entry = struct.pack(">I4sI", 12 + len(alias), b"alis", 0) + alias
    place = content.index(b"url \0\0\0\1") - 4
    path.write_bytes(
        _grown(content[:place] + entry + content[place + 12 :], place, len(entry) - 12)
    )


def _grown(content: bytes, place: int, by: int) -> bytes:
    """The boxes around `place` by so much longer; the index lies behind the pictures."""
    changed = bytearray(content)
    for kind in (b"moov", b"trak", b"mdia", b"minf", b"dinf", b"dref"):
        start = changed.rindex(kind, 0, place) - 4
        struct.pack_into(">I", changed, start, struct.unpack_from(">I", changed, start)[0] + by)
    return bytes(changed)


def forbid_sockets() -> None:
    """From now on, the kernel kills this process and its children when they ask for a socket."""
    socket = {"x86_64": 41, "aarch64": 198}[platform.machine()]
    kill, allow = 0x80000000, 0x7FFF0000
    steps = [(0x20, 0, 0, 0), (0x15, 0, 1, socket), (0x06, 0, 0, kill), (0x06, 0, 0, allow)]
    program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in steps))
    head = ctypes.create_string_buffer(
        struct.pack("HxxxxxxP", len(steps), ctypes.addressof(program))
    )
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.prctl(38, 1, 0, 0, 0) == 0  # no new privileges, without which a filter is refused
    assert libc.prctl(22, 2, head, 0, 0) == 0, ctypes.get_errno()


class Opened:
    """The names in a folder that anybody opens, as the kernel tells them (inotify)."""

    def __init__(self, folder: Path) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._events = self._libc.inotify_init1(os.O_NONBLOCK)
        assert self._libc.inotify_add_watch(self._events, os.fsencode(folder), 0x20) >= 0  # IN_OPEN

    def names(self) -> set[str]:
        """Those since the last call."""
        found: set[str] = set()
        with contextlib.suppress(BlockingIOError):
            while content := os.read(self._events, 1 << 20):
                while content:
                    length = struct.unpack_from("iIII", content)[3]
                    found.add(content[16 : 16 + length].rstrip(b"\0").decode())
                    content = content[16 + length :]
        return found - {""}


def sources(path: str) -> Iterator[tuple[str, Any]]:
    yield "path", path
    yield "bytes", Path(path).read_bytes()
    with open(path, "rb") as file:
        yield "file", file


def attempt(source: Any, decoder: str) -> str:
    """What comes of opening it: the size of the picture, or the error."""
    if decoder == "plain":
        try:
            with av.open(source) as container:
                return f"opened {container.format.name}"
        except (av.FFmpegError, ValueError) as error:
            return f"plain {error}"
    try:
        with open_video(source, decoder, time_limit=20) as reader:
            first = reader.read([0])
            return f"read {first.shape[2]}×{first.shape[1]} {len(reader)} {first.mean():.0f}"
    except DecodeError as error:
        return f"{type(error).__name__}: {error.reason}"


def main() -> None:
    folder, decoders, found = Path(sys.argv[1]), sys.argv[2:], []
    os.chdir(folder / "files")
    if "torchcodec" in decoders:
        import torchcodec.decoders  # noqa: F401
    watch = Opened(Path())
    forbid_sockets()
    for name in os.environ["NAMES"].split("\n"):
        for decoder in decoders:
            for kind, source in sources(name):
                watch.names()
                outcome = attempt(source, decoder)
                found.append((name, decoder, kind, outcome, sorted(watch.names() - {name})))
    print(json.dumps(found))


if __name__ == "__main__":
    main()
