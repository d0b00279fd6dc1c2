"""Which formats FFmpeg may take a file for: those that hold their pictures themselves.

FFmpeg knows some that only name other files, addresses or devices (SDP, HLS, DASH, concat, IMF,
series of pictures, Magic Lantern's parts). It picks the format by content, so a "video" of a
stranger could open those. Hence a list of what is allowed, and no list of what is not.
"""

import re
from collections.abc import Mapping

CONTAINERS = (
    "asf asf_o avi cine dhav flv gif gxf ivf ivr kux lmlm4 matroska mov mpeg mpegts mpjpeg mtv mxf "
    "mxg nsv nut nuv ogg pmp pva rm swf thp ty vivo webm wtv yuv4mpegpipe"
)
STREAMS = (
    "apng av1 avs2 avs3 cavsvideo dirac dnxhd dv evc flic h261 h263 h264 hevc jpegxl_anim m4v "
    "mjpeg mjpeg_2000 mpegvideo obu roq smk vc1 vc1test vvc"
)
PICTURES = "bmp_pipe jpeg_pipe png_pipe webp_pipe"
SOUND = "aac ac3 aiff amr ape au caf dts eac3 flac mp3 w64 wav wv"  # for: "there is no video in it"
ALLOWED = ",".join(f"{CONTAINERS} {STREAMS} {PICTURES} {SOUND}".split())
"""FFmpeg's names of demuxers, as its option format_whitelist takes them."""

START_CODE = re.compile(rb"\x00\x00\x00?\x01")
SIGNATURES: Mapping[str, re.Pattern[bytes]] = {
    "mov": re.compile(rb"(?s)....(ftyp|styp|moov|mdat|wide|free|skip|pnot)"),
    "matroska": re.compile(rb"\x1a\x45\xdf\xa3"),
    "avi": re.compile(rb"(?s)RIFF....AVI |ON2 .{4}ON2f"),
    "flv": re.compile(rb"FLV"),
    "mpegts": re.compile(rb"(?s)(.{4})?\x47"),
    "mpeg": re.compile(rb"\x00\x00\x01\xba"),
    "asf": re.compile(rb"\x30\x26\xb2\x75\x8e\x66\xcf\x11"),
    "ogg": re.compile(rb"OggS"),
    "gif": re.compile(rb"GIF8[79]a"),
    "ivf": re.compile(rb"DKIF"),
    "mxf": re.compile(rb"\x06\x0e\x2b\x34"),
    "h264": START_CODE,
    "hevc": START_CODE,
    "mpegvideo": START_CODE,
    "m4v": START_CODE,
}
"""Format → how a file of it begins. Decoders with an FFmpeg of their own take no such list, and an
older one may see another format in the same bytes; these beginnings leave no doubt."""
HEAD = 64  # bytes


def is_certain(format_name: str, head: bytes) -> bool:
    """Whether every FFmpeg takes a file with this beginning for that format.

    format_name: as FFmpeg has it, such as "mov,mp4,m4a,3gp,3g2,mj2". head: the first HEAD bytes.
    A byte of zero ends the text in which playlists are looked for.
    """
    signature = SIGNATURES.get(format_name.split(",")[0])
    return bool(signature and signature.match(head)) and 0 in head
