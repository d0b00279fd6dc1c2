"""torchcodec, on the CPU or with NVDEC on a CUDA device.

An exact scan of the file finds the frames; their times alone would not. torchcodec releases the GIL
while it works, so a thread is enough for the time limit. It needs FFmpeg's shared libraries: see
decode/ffmpeg_env.py.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from video_gc.decode.ffmpeg.container import checked_source, packet_times
from video_gc.decode.ffmpeg.source import TimeLimit
from video_gc.decode.ffmpeg_env import COMMAND
from video_gc.decode.reader import (
    CorruptError,
    OpenError,
    OpenOptions,
    Request,
    Source,
    VideoReader,
    check_requests,
    output_size,
    source_name,
)
from video_gc.decode.whole_frames import PictureReader, batched_rising
from video_gc.extras import need

if TYPE_CHECKING:
    import torch

BATCH = 64 << 20  # bytes of pictures decoded at a time
NVDEC_CACHE = 0
"""Hardware decoders that torchcodec keeps for the next file. It once found them by the coded size
alone, so a file of 530 rows after one of 532 lost a band of rows without an error (torchcodec
#1704). PR #1706 mended that, and 0.17.0 has it, but setup.cfg allows older ones: to keep some, show
with `video-gc benchmark gpu` that this is over, and raise the bound there too."""
CUDA_LIBRARY = re.compile(r"lib(?:cudart|nvrtc)\.so\.(\d+)")


def open_reader(source: Source, options: OpenOptions) -> VideoReader:
    """See open_video. Raises ImportError with the install command, ValueError without CUDA."""
    check_installed()
    if options.device == "cuda":
        check_cuda()
    return TorchcodecReader(source, options)


def check_installed() -> None:
    """Raises ImportError, with the command to type, if torchcodec cannot be loaded."""
    need("torchcodec", "torchcodec", by="decoder (torchcodec)")
    try:
        import torchcodec.decoders  # noqa: F401  (without FFmpeg, old versions fail here)
    except (ImportError, OSError, RuntimeError) as error:
        raise ImportError(_no_libraries(error)) from error


def check_cuda() -> None:
    """Raises ValueError without a CUDA device."""
    import torch

    if not torch.cuda.is_available():
        raise ValueError("device (cuda): there is no CUDA device here; use device=cpu")


class TorchcodecReader(PictureReader):
    """A file through torchcodec.decoders.VideoDecoder; see VideoReader.

    fell_back: with device="cuda": NVDEC cannot take the codec, so the CPU decodes it.
    """

    decoder = "torchcodec"

    def __init__(self, source: Source, options: OpenOptions) -> None:
        self.path, self.damage, self.damaged = source_name(source), options.damage, {}
        self._source, self._device, self.max_pixels = source, options.device, options.max_pixels
        self._limit = TimeLimit(options.time_limit, self.path, "no frame within {}", self.decoder)
        try:
            self._decoder: Any = self._within(lambda: self._open(options))
        except (RuntimeError, ValueError, IndexError) as error:
            if "load libtorchcodec" in str(error):  # new versions load FFmpeg only here
                raise ImportError(_no_libraries(error)) from error
            reason = f"cannot be read as a video ({_cause(error)})"
            raise OpenError(self.path, reason, decoder=self.decoder) from error
        about, self._length = self._decoder.metadata, len(self._decoder)
        self.rate, self.size = float(about.average_fps or 25), (about.height, about.width)
        self.codec = about.codec or "unknown"
        self.portion = max(1, BATCH // (3 * about.height * about.width))
        if "444" in (about.pixel_format or ""):
            self._batch([0])  # FFmpeg works around old x264's 4:4:4 after seeing the encoder's name
        self.fell_back = self._device == "cuda" and bool(self._decoder.cpu_fallback)

    def __len__(self) -> int:
        return self._length

    @property
    def times(self) -> np.ndarray:
        """See VideoReader.times."""
        return packet_times(self._source, len(self), self.rate, self.max_pixels)

    def stream(
        self, requests: Sequence[Request], form: str = "rgb"
    ) -> Iterator[tuple[int, int, np.ndarray]]:
        """See VideoReader.stream. With a CUDA device, frames are cropped and scaled there."""
        if self._device == "cpu" or form != "rgb":
            yield from super().stream(requests, form)
            return
        for portion in batched_rising(check_requests(self, requests), self.portion):
            parts = [
                Request(sorted(set(portion) & set(map(int, r.indices))), r.crop, r.size)
                for r in requests
            ]
            for number, clip in enumerate(self.read_tensors(parts)):
                for index, frame in zip(parts[number].indices, clip.cpu().numpy(), strict=True):
                    yield number, index, frame

    def read_tensors(self, requests: Sequence[Request]) -> list["torch.Tensor"]:
        """Each request as uint8 (T, H, W, 3) on the device, all from one decode.

        Raises IndexError, CorruptError, StuckError.
        """
        import torch

        wanted = check_requests(self, requests)
        chosen = [sorted(set(map(int, request.indices))) for request in requests]
        for request in requests:
            self.check_clip(len(request.indices), output_size(request, self.size))
        parts: list[list[torch.Tensor]] = [[] for _ in requests]
        for portion in batched_rising(wanted or [0], self.portion):  # whole pictures are large
            frames = self._batch(portion)
            for part, indices, request in zip(parts, chosen, requests, strict=True):
                rows = [place for place, index in enumerate(portion) if index in set(indices)]
                part.append(_scaled(frames[rows], request))
        return [
            torch.cat(part)[[indices.index(int(index)) for index in request.indices]]
            for part, indices, request in zip(parts, chosen, requests, strict=True)
        ]

    def close(self) -> None:
        """See VideoReader.close."""
        self._decoder = None

    def _open(self, options: OpenOptions) -> Any:
        from torchcodec.decoders import VideoDecoder, set_nvdec_cache_capacity

        if self._device == "cuda":
            set_nvdec_cache_capacity(NVDEC_CACHE)
        with checked_source(
            self._source,
            self.decoder,
            time_limit=options.time_limit,
            max_pixels=self.max_pixels,
        ) as file:
            return VideoDecoder(
                file,
                dimension_order="NHWC",
                num_ffmpeg_threads=options.threads,
                device=self._device,
                seek_mode="exact",
            )

    def _pictures(self, indices: Sequence[int]) -> Iterator[tuple[int, np.ndarray]]:
        yield from zip(indices, self._batch(indices).cpu().numpy(), strict=True)

    def _batch(self, indices: Sequence[int]) -> "torch.Tensor":
        """Rising frames, whole, as uint8 (T, H, W, 3) on the device."""
        import torch

        try:
            return self._within(lambda: self._decoder.get_frames_at(list(indices)).data)
        except torch.OutOfMemoryError:  # of the GPU; the video is not damaged
            raise
        except (RuntimeError, ValueError, IndexError) as error:
            reason = f"cannot decode frames {indices[0]}…{indices[-1]} of {len(self)}"
            raise CorruptError(
                self.path, f"{reason} ({_cause(error)})", decoder=self.decoder, frame=indices[0]
            ) from error

    def _within(self, call: Callable[[], Any]) -> Any:
        """The call's result. Raises StuckError after the time limit."""
        return self._limit.run(_on_this_stream(call) if self._device == "cuda" else call)


def _on_this_stream(call: Callable[[], Any]) -> Callable[[], Any]:
    """The call on this thread's CUDA device and stream, which are per thread."""
    import torch

    stream = torch.cuda.current_stream()

    def wrapped() -> Any:
        with torch.cuda.device(stream.device), torch.cuda.stream(stream):
            return call()

    return wrapped


def _scaled(frames: "torch.Tensor", request: Request) -> "torch.Tensor":
    """Crop, then an antialiased bilinear scale."""
    if request.crop:
        box = request.crop
        rows, columns = slice(box.top, box.top + box.height), slice(box.left, box.left + box.width)
        frames = frames[:, rows, columns]
    size = request.size
    if size is None or size == tuple(frames.shape[1:3]) or not len(frames):
        return frames if size is None else frames.reshape(-1, *size, 3)
    from torch.nn.functional import interpolate

    channels_first = frames.permute(0, 3, 1, 2).float()
    scaled = interpolate(channels_first, size, mode="bilinear", antialias=True)
    return scaled.round().clamp(0, 255).byte().permute(0, 2, 3, 1)


def _no_libraries(error: BaseException) -> str:
    if cuda := CUDA_LIBRARY.search(str(error)):
        return (f"torchcodec cannot load {cuda[0]}, which comes with torch for CUDA {cuda[1]}; "
                "install such a torch, or a torchcodec for the torch that is here")  # fmt: skip
    first = str(error).strip().splitlines()[0].split(" Likely causes")[0].rstrip(".:")
    return f"torchcodec cannot load FFmpeg ({first}); set the path to it first: {COMMAND}"


def _cause(error: BaseException) -> str:
    """torchcodec's message without its source location."""
    text = str(error).strip().splitlines()
    return text[0].split(".cpp:")[-1].lstrip("0123456789, ") if text else type(error).__name__
