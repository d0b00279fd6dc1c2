"""The HTTP interface: a video in, classes with scores out, as JSON.

Answers have the fields of Hugging Face's task video-classification.
"""

import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import asdict
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Annotated, Any, BinaryIO

import anyio.to_thread
from fastapi import FastAPI, File, Form, HTTPException, Query, Request, UploadFile
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BaseModel

from video_gc.decode.reader import DecodeError
from video_gc.escape import readable
from video_gc.predict.decoders import NoDecoderError
from video_gc.predict.recognizer import Recognizer
from video_gc.progress import say
from video_gc.serve.download import DownloadError, NotAllowedError, download
from video_gc.serve.gate import Gate, Inside, Metrics
from video_gc.serve.guard import LOCAL, Guard
from video_gc.serve.limits import Limits
from video_gc.serve.server import end_cleanly, listening, server
from video_gc.serve.service import Service, TooLateError

NO_DECODER = "no process that decodes can be started, which is tried again; free some memory"
MOST_VALUES = 1_000_000
"""Of features in an answer, about 20 MB of JSON."""


class Label(BaseModel):
    """A class of the network, and its probability."""

    label: str
    score: float


class TimedLabel(Label):
    """A segment: a class, its mean score there, and when it happens."""

    start: float
    end: float
    """seconds"""


class Features(BaseModel):
    """Rows of features of a video's windows, with what gave them."""

    layer: str
    weights: str
    """SHA-256 of the network's weights"""
    windows: int
    """windows of the video, also if their mean is the one row"""
    start: list[float]
    """of each window, seconds"""
    end: list[float]
    features: list[list[float]]
    """(windows, channels): the mean of the layer's output over time and space"""


class Health(BaseModel):
    """What can work."""

    status: str
    decoders: int
    """processes that can decode"""


class Problem(BaseModel):
    """Why there is no answer, and what to do."""

    detail: str


PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"model": Problem, "description": meaning}
    for status, meaning in {
        400: "the body is not a form, or the host another than this machine",
        403: "the host of `url` is not allowed, or the request is from a page of another host",
        408: "the body is late",
        413: "the body is too large",
        422: "no such video can be scored",
        503: "too many requests at a time, or no process that decodes can be started",
        504: "the video was not scored in time",
    }.items()
}


def create_app(service: Service, limits: Limits, *, local: bool = False) -> FastAPI:
    """The application, for `server`. local: as of `Guard`."""

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        # a request waits in a thread of its own, and others must still find one
        anyio.to_thread.current_default_thread_limiter().total_tokens = limits.queue + 8
        yield

    inside = Inside()
    metrics = Metrics(service, inside)
    # the pages /docs and /redoc would load scripts from elsewhere
    app = FastAPI(title="video_gc", docs_url=None, redoc_url=None, lifespan=lifespan)
    app.add_middleware(Guard, limits=limits, local=local)
    app.add_middleware(Gate, limits=limits, inside=inside, metrics=metrics)  # before the guard
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(Exception, _failed)

    @app.post("/predict", responses=PROBLEMS)
    def predict(
        request: Request,
        file: Annotated[UploadFile | None, File(description="the video")] = None,
        url: Annotated[str | None, Form(description="its address, on an allowed host")] = None,
        top_k: Annotated[int, Query(ge=1, description="number of classes")] = 5,
        segments: Annotated[bool, Query(description="when each class happens, instead")] = False,
    ) -> list[TimedLabel | Label]:
        """The best classes of a video, with their scores; or all of its segments."""
        with _received(request, file, url, limits) as kept:
            if segments:
                with _asked_of_network():
                    found = service.segments(kept, request.state.deadline)
                return [
                    TimedLabel(label=one.label, score=one.score, start=one.start, end=one.end)
                    for one in found
                ]
            prediction = service.predict(kept, "video", request.state.deadline)
        return [Label(label=name, score=score) for name, score in prediction.top(top_k)]

    @app.post("/features", responses=PROBLEMS)
    def features(
        request: Request,
        file: Annotated[UploadFile | None, File(description="the video")] = None,
        url: Annotated[str | None, Form(description="its address, on an allowed host")] = None,
        layer: Annotated[str, Query(description="a stage or a residual block")] = "res5",
        pool: Annotated[bool, Query(description="one row, the mean over the windows")] = False,
    ) -> Features:
        """The features of each window of a video, as tools/features.py writes them."""
        with _received(request, file, url, limits) as kept, _asked_of_network():
            times, rows = service.features(kept, layer, request.state.deadline)
        windows = len(times)
        if pool:
            times, rows = [(times[0][0], times[-1][1])], rows.mean(0, keepdim=True)
        if rows.numel() > MOST_VALUES:
            raise HTTPException(
                422,
                f"{len(rows)} windows of {rows.shape[1]} features are more than {MOST_VALUES:,} "
                "values; give pool=true for their mean, or send a shorter video",
            )
        return Features(
            layer=layer,
            weights=service.recognizer.contract.weights,
            windows=windows,
            start=[start for start, _ in times],
            end=[end for _, end in times],
            features=rows.tolist(),
        )

    @app.get("/health", responses={503: PROBLEMS[503] | {"description": "it cannot score"}})
    async def health() -> Health:
        """Whether the server can decode and score."""
        if not service.batches.alive:
            raise HTTPException(503, "the scoring thread has ended; start the server again")
        if not (alive := service.decoders.alive):
            raise HTTPException(503, NO_DECODER)
        return Health(status="ok", decoders=alive)

    @app.get("/contract")
    async def contract() -> dict[str, Any]:
        """What the network expects of a video, and its classes."""
        return asdict(service.recognizer.contract)

    @app.get("/metrics", response_class=PlainTextResponse)
    async def numbers() -> PlainTextResponse:
        """Counters in Prometheus' format."""
        text = generate_latest(metrics.registry)
        return PlainTextResponse(text, media_type=CONTENT_TYPE_LATEST)

    return app


def serve(
    checkpoint: Path,
    limits: Limits,
    *,
    host: str,
    port: int,
    device: str | None = None,
    precision: str = "auto",
    backend: str = "auto",
) -> None:
    """Load the checkpoint and answer requests until Ctrl-C or SIGTERM.

    Raises as `Recognizer`, and OSError if the address is taken.
    """
    end_cleanly()
    with listening(host, port) as listener:
        recognizer = Recognizer(checkpoint, device=device, precision=precision, backend=backend)
        say(f"{checkpoint}: {recognizer.about}")
        with Service(recognizer, max_seconds=limits.max_seconds) as service:
            say(f"POST a video to http://{host}:{port}/predict; Ctrl-C ends the server")
            app = create_app(service, limits, local=host in LOCAL)
            server(app, timeout=limits.timeout, patience=limits.timeout).run([listener])


@contextmanager
def _received(
    request: Request, file: UploadFile | None, url: str | None, limits: Limits
) -> Iterator[Path]:
    """The video in a temporary file, which is removed; errors about it become answers."""
    deadline = request.state.deadline
    if (file is None) == (url is None):
        raise HTTPException(422, "send a form with the video as `file`, or with its `url`")
    with NamedTemporaryFile(prefix="video_gc-") as kept:
        try:
            if file is not None:
                shutil.copyfileobj(file.file, kept)
            elif url is not None:
                _fetch(url, kept, limits, deadline)  # type: ignore[arg-type]
            kept.flush()
            yield Path(kept.name)
        except (TooLateError, TimeoutError):
            raise HTTPException(
                504,
                f"not done within {limits.timeout:g} s (--timeout); send a shorter video, or try "
                "again when the server is less busy",
            ) from None
        except NoDecoderError:
            raise HTTPException(503, NO_DECODER) from None
        except DecodeError as error:
            raise HTTPException(422, readable(f"the video: {error.reason}")) from None


@contextmanager
def _asked_of_network() -> Iterator[None]:
    """A layer that the network lacks, or windows that it does not have, is an answer."""
    try:
        yield
    except ValueError as error:
        raise HTTPException(422, readable(str(error))) from None


def _fetch(url: str, out: BinaryIO, limits: Limits, deadline: float) -> None:
    try:
        download(url, limits.allow_url, out, max_bytes=limits.max_bytes, deadline=deadline)
    except NotAllowedError as error:
        raise HTTPException(403, readable(str(error))) from None
    except DownloadError as error:
        raise HTTPException(422, readable(f"url: {error}")) from None


async def _invalid(_request: Request, error: Exception) -> JSONResponse:
    """One line instead of FastAPI's list."""
    assert isinstance(error, RequestValidationError)
    found = [f"{'.'.join(map(str, e['loc'][1:]))}: {e['msg']}" for e in error.errors()]
    return JSONResponse({"detail": readable("; ".join(found))}, 422)


async def _failed(_request: Request, _error: Exception) -> JSONResponse:
    return JSONResponse({"detail": "an error of the server; its log has more"}, 500)
