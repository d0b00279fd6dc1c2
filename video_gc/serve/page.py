"""A web page on this machine: a video in, its classes over time out, and where the blocks look.

Nothing leaves the machine: the page loads nothing from elsewhere, and Gradio's analytics are off.
"""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, asynccontextmanager, suppress
from functools import partial
from html import escape
from importlib.resources import files
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from fastapi import FastAPI

from video_gc.analysis.html import render
from video_gc.data.index import DataError
from video_gc.decode.reader import DecodeError
from video_gc.escape import readable
from video_gc.models.counts import complexity
from video_gc.predict.batch import video_files
from video_gc.predict.recognizer import Prediction, Recognizer
from video_gc.predict.segments import Segment, SegmentOptions, find_segments
from video_gc.progress import say
from video_gc.serve.guard import Guard
from video_gc.serve.limits import Limits
from video_gc.serve.looks import attention_picture
from video_gc.serve.server import end_cleanly, listening, server
from video_gc.serve.service import Service, TooLateError

TOP = 5
"""Classes shown."""
COLUMNS = 120
"""Most buttons in a line of the timeline; more windows are averaged."""
SEGMENTS = 40
"""Most segments shown."""
EXAMPLES = 6
"""Most examples shown."""
KEPT, SWEPT = 600, 60
"""Seconds that an upload is kept for the player, and from one look for old ones to the next."""
FORM = 1 << 16
"""Bytes of an upload beside its file."""
SEEK = """
element.addEventListener('click', event => {
  const window = event.target.closest('[data-time]');
  const video = document.querySelector('#video video');
  if (window && video) video.currentTime = Number(window.dataset.time);
});
"""
LARGE = """
const said = element.querySelector('.vg-large');
for (const kind of ['change', 'drop']) {
  document.addEventListener(kind, event => {
    const file = (event.target.files ?? event.dataTransfer?.files)?.[0];
    if (file) said.hidden = file.size <= Number(said.dataset.limit);
  }, true);
}
"""
"""Gradio refuses a file that is too large without a word."""
Best = tuple[str, int, float, float]
"""The window with the highest score: its file, number, start and end in seconds."""


def create_page(
    services: Mapping[str, Service], examples: Sequence[Path], limits: Limits
) -> FastAPI:
    """The page of one network, or of several side by side, by their titles.

    Set GRADIO_TEMP_DIR before: uploads are kept there.
    """
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # read when gradio is imported
    import gradio

    own = partial(gradio.HTML, apply_default_css=False)
    with gradio.Blocks(
        title="video_gc", analytics_enabled=False, delete_cache=(SWEPT, KEPT)
    ) as blocks:
        gradio.Markdown("# What happens in a video")
        with gradio.Tab("Video"):
            with gradio.Row():
                with gradio.Column(min_width=300):
                    video = gradio.Video(
                        label="Video", sources=["upload"], elem_id="video", height=360
                    )
                    own(_about(limits), js_on_load=LARGE)
                    if examples:
                        gradio.Examples([[str(file)] for file in examples], video, label="Examples")
                shown: list[Any] = []
                for title in services:
                    with gradio.Column(min_width=300):
                        own(_title(title))
                        shown.append(gradio.Label(num_top_classes=TOP, label="Classes"))
                        shown.append(own(js_on_load=SEEK))
            pictures = [own(elem_classes="vg-picture") for _ in services]
        with gradio.Tab("Networks"), gradio.Row():
            for title, service in services.items():
                with gradio.Column(min_width=300):
                    own(_title(title) + _facts(service.recognizer))

        found = gradio.State()
        looking = ThreadPoolExecutor(1, "looking")

        def answer(file: str | None) -> list[Any]:
            answers = [_answer(service, file, limits) for service in services.values()]
            parts = [part for answer in answers for part in answer[:2]]
            return [*parts, [answer[2] for answer in answers]]

        def look(best: list[Best | None]) -> list[str]:
            return [
                _picture(service, one, limits, looking) if one else ""
                for service, one in zip(services.values(), best, strict=True)
            ]

        one_at_a_time: Any = {"concurrency_id": "video", "api_visibility": "private"}
        # not of `video`: another one may be there by then
        video.change(answer, video, [*shown, found], **one_at_a_time).then(
            look, found, pictures, **one_at_a_time
        )
    blocks.queue(max_size=limits.queue, default_concurrency_limit=1)
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, lifespan=_sweeping)
    app.add_middleware(Guard, limits=limits, local=True, spare=FORM)
    return gradio.mount_gradio_app(
        app,
        blocks,
        "/",
        footer_links=[],
        allowed_paths=[],
        max_file_size=limits.max_bytes,
        ssr_mode=False,
        css=files("video_gc.serve").joinpath("page.css").read_text("utf-8"),
    )


def show(
    checkpoints: Sequence[Path],
    examples: Sequence[Path],
    limits: Limits,
    *,
    port: int,
    device: str | None = None,
) -> None:
    """Show the page on 127.0.0.1 until Ctrl-C. Raises as `Recognizer`, and OSError for the port."""
    end_cleanly()
    with ExitStack() as ends:
        listener = ends.enter_context(listening("127.0.0.1", port))
        uploads = ends.enter_context(TemporaryDirectory(prefix="video_gc-"))
        os.environ["GRADIO_TEMP_DIR"] = uploads
        services = {}
        for checkpoint in checkpoints:
            recognizer = Recognizer(checkpoint, device=device)
            say(f"{checkpoint}: {recognizer.about}")
            service = Service(recognizer, max_seconds=limits.max_seconds, decoders=1)
            services[str(checkpoint)] = ends.enter_context(service)
        page = create_page(services, _some(examples), limits)
        say(f"Open http://127.0.0.1:{port}; Ctrl-C ends it")
        server(page, timeout=limits.timeout, patience=0).run([listener])


@asynccontextmanager
async def _sweeping(_app: FastAPI) -> AsyncIterator[None]:
    """Remove what cancelled uploads leave: Gradio removes the complete ones."""

    async def sweep() -> None:
        while True:
            for part in Path(os.environ["GRADIO_TEMP_DIR"]).glob("tmp*"):
                with suppress(FileNotFoundError):  # it is complete, and has another name
                    if part.is_file() and time.time() - part.stat().st_mtime > KEPT:
                        part.unlink()
            await asyncio.sleep(SWEPT)

    task = asyncio.create_task(sweep())
    yield
    task.cancel()


def _some(examples: Sequence[Path]) -> list[Path]:
    """Files and the videos in folders, EXAMPLES of them, evenly spaced."""
    found = video_files(examples)
    step = max(len(found) / EXAMPLES, 1)
    return [found[int(number * step)] for number in range(min(len(found), EXAMPLES))]


def _answer(
    service: Service, file: str | None, limits: Limits
) -> tuple[dict[str, float] | None, str, Best | None]:
    """The best classes, the timeline or an error as HTML, and the window to look at."""
    if file is None:
        return None, "", None
    try:
        prediction = service.predict(Path(file), "video", time.monotonic() + limits.timeout)
    except TooLateError:
        late = f"not done within {limits.timeout:g} s (--timeout); take a shorter video"
        return None, _error(late), None
    except DecodeError as error:
        return None, _error(f"This file cannot be shown: {error.reason}"), None
    windows = prediction.windows
    best = max(range(len(windows)), key=lambda number: float(windows[number].scores.max()))
    top = {readable(name): score for name, score in prediction.top(TOP)}
    return top, timeline(prediction), (file, best, windows[best].start, windows[best].end)


def timeline(prediction: Prediction) -> str:
    """HTML: score over time of the best classes, and the segments of all."""
    windows = prediction.windows
    size = -(-len(windows) // COLUMNS)
    groups = [windows[start : start + size] for start in range(0, len(windows), size)]
    rows = []
    for name, score in prediction.top(TOP):
        number = prediction.names.index(name)
        values = [sum(float(w.scores[number]) for w in group) / len(group) for group in groups]
        rows.append({"name": name, "score": score, "scores": values})
    segments = segments_of(prediction)
    note = "Each field is a window of the video; choose one to see it there."
    if prediction.damaged:
        note += f" {prediction.damaged} of the frames used are damaged."
    if len(segments) > SEGMENTS:
        note += f" The first {SEGMENTS} of {len(segments)} segments are shown."
    edges = [(group[0].start, group[-1].end) for group in groups]
    return render(
        "results.html.j2",
        room="serve",
        rows=rows,
        edges=edges,
        segments=segments[:SEGMENTS],
        note=note,
    )


def segments_of(prediction: Prediction) -> list[Segment]:
    """The segments that consecutive windows show; none if one window is the whole video."""
    windows = prediction.windows
    if len(windows) == 1:
        return []
    scores = np.stack([one.scores.numpy() for one in windows])
    start, end = np.array([(one.start, one.end) for one in windows]).T
    return find_segments(scores, start, end, prediction.names, SegmentOptions(overlap=0))


def _picture(service: Service, best: Best, limits: Limits, looking: ThreadPoolExecutor) -> str:
    """HTML: where the context blocks look in the window with the highest score."""
    (file, number, start, end), deadline = best, time.monotonic() + limits.timeout
    try:
        view = service.view(Path(file), number, deadline)
        drawn = looking.submit(attention_picture, service.recognizer, view, start, end)
        try:
            return drawn.result(max(deadline - time.monotonic(), 0.0))
        finally:
            drawn.cancel()  # unless it has begun
    except (DataError, DecodeError) as error:  # DataError: no block has a map
        return _note(str(error))
    except (TooLateError, TimeoutError):
        return _note(f"The attention was not drawn within {limits.timeout:g} s (--timeout).")


def _facts(recognizer: Recognizer) -> str:
    """HTML: the contract and the cost of the network."""
    contract = recognizer.contract
    facts = [
        ("classes", ", ".join(contract.names)),
        ("input", f"{contract.about_time}; {contract.colour}, {contract.layout}"),
        ("picture", f"short side {contract.short_side} pixels, centre crop {contract.crop}"),
        ("mean, deviation", f"{contract.mean}, {contract.std}"),
        ("labels of a video", "several" if contract.multi_label else "one"),
        ("runs in", recognizer.network.about),
        ("weights (SHA-256)", contract.weights),
    ]
    if recognizer.model is not None:  # an exported file has no network to count
        cost = complexity(recognizer.model, contract.clip_shape)
        facts.append(("parameters", f"{cost.parameters:,}"))
        facts.append(("FLOPs of a clip", f"{cost.flops / 1e6:,.0f} million multiply-adds"))
    return render("facts.html.j2", room="serve", facts=facts)


def _about(limits: Limits) -> str:
    """HTML: what the page takes, and a hidden line for a file that is too large."""
    most = f"{limits.max_mb:g} MiB"
    return (
        f"{_note(f'Up to {most} and {limits.max_seconds:g} s.')}"
        f'<div class="vg-large" data-limit="{limits.max_bytes}" role="alert" hidden>'
        f"The file is larger than {most} (--max-mb); take a smaller one.</div>"
    )


def _title(text: str) -> str:
    return f'<p class="vg-title">{escape(readable(text))}</p>'


def _note(text: str) -> str:
    return f'<p class="vg-note">{escape(readable(text))}</p>'


def _error(text: str) -> str:
    return f'<div class="vg-error" role="alert">{escape(readable(text))}</div>'
