"""A server on loopback, as clients meet it."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch
from fastapi import FastAPI

from tests.conftest import counted_frames
from tests.serve.client import Served, client, get, post, until
from video_gc import Recognizer
from video_gc.decode.open import open_video
from video_gc.decode.write import write_video
from video_gc.predict.features import StageFeatures
from video_gc.predict.segment_files import VideoSegments, segment_all
from video_gc.predict.segments import SegmentOptions
from video_gc.predict.views import window_frames
from video_gc.serve.gate import RETRY
from video_gc.serve.limits import NEEDED, Limits, check_installed
from video_gc.serve.server import listening, server
from video_gc.serve.service import Service


def test_a_video_gets_the_scores_of_the_recognizer(
    served: Served, service: Service, recognizer: Recognizer, video: Path
) -> None:
    address, prediction = served(), recognizer.predict(video)
    answer = post(address, video.read_bytes(), top_k=9)
    assert answer.status_code == 200
    assert [one["label"] for one in answer.json()] == [name for name, _ in prediction.top(9)]
    expected = [score for _, score in prediction.top(9)]
    assert [one["score"] for one in answer.json()] == pytest.approx(expected, abs=1e-6)
    assert set(answer.json()[0]) == {"label", "score"}
    assert len(post(address, video.read_bytes(), top_k=1).json()) == 1
    health = get(f"{address}/health").json()
    assert health == {"status": "ok", "decoders": service.decoders.count}
    assert get(f"{address}/contract").json() == asdict(recognizer.contract)
    assert get(f"{address}/docs").status_code == 404  # its page loads scripts from elsewhere


def test_health_tells_what_cannot_work(
    served: Served, service: Service, video: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = served()
    monkeypatch.setattr(service.decoders, "_missing", service.decoders.count)
    assert get(f"{address}/health").json()["status"] == "ok"  # others start
    monkeypatch.setattr(service.decoders, "_failure", "no memory")
    for answer in (get(f"{address}/health"), post(address, video.read_bytes())):
        assert answer.status_code == 503
        assert answer.json()["detail"].startswith("no process that decodes can be started, which")
    assert "video_gc_decoders 0.0" in get(f"{address}/metrics").text
    monkeypatch.setattr("video_gc.serve.service.Batches.alive", False)
    assert get(f"{address}/health").json()["detail"].startswith("the scoring thread has ended;")


def test_segments_are_those_of_the_tool(served: Served, checkpoint: Path, tmp_path: Path) -> None:
    halves = [np.full((45, 32, 32, 3), grey, np.uint8) for grey in (10, 245)]
    long = write_video(tmp_path / "long.mp4", np.concatenate(halves))
    (expected,) = segment_all(checkpoint, [long], tmp_path / "out", SegmentOptions(), "cpu", "fp32")
    assert isinstance(expected, VideoSegments)
    assert expected.segments
    answer = post(served(), long.read_bytes(), segments=True).json()
    assert [(one["label"], one["start"], one["end"]) for one in answer] == [
        (one.label, pytest.approx(one.start), pytest.approx(one.end)) for one in expected.segments
    ]
    scores = [one.score for one in expected.segments]
    assert [one["score"] for one in answer] == pytest.approx(scores, abs=1e-5)


def test_many_at_a_time_lose_nothing_and_share_calls_of_the_network(
    served: Served, recognizer: Recognizer, service: Service, tmp_path: Path
) -> None:
    files = [
        write_video(tmp_path / f"{n}.mp4", counted_frames(16 + 8 * n, seed=n)) for n in range(8)
    ]
    expected = {file: recognizer.predict(file).top(1)[0] for file in files}
    address, before = served(), service.batches.scored
    with ThreadPoolExecutor(8) as clients:
        answers = list(clients.map(lambda file: post(address, file.read_bytes()), files))
    assert [answer.status_code for answer in answers] == [200] * 8
    for file, answer in zip(files, answers, strict=True):
        name, score = expected[file]
        assert answer.json()[0] == {"label": name, "score": pytest.approx(score, abs=1e-5)}
    windows = sum(len(recognizer.predict(file).windows) for file in files)
    assert service.batches.scored - before == windows
    told = get(f"{address}/metrics").text.splitlines()
    assert 'video_gc_requests_total{status="200"} 8.0' in told
    assert "video_gc_request_seconds_count 8.0" in told
    assert "video_gc_requests_inside 0.0" in told
    assert f"video_gc_windows_total {service.batches.scored}.0" in told


def test_features_are_those_of_the_tool(
    served: Served, recognizer: Recognizer, checkpoint: Path, video: Path
) -> None:
    address, content = served(), {"file": ("v", video.read_bytes())}
    with client() as own, ThreadPoolExecutor(4) as clients:
        asked = [(path, layer) for layer in ("res3", "res5") for path in ("features", "predict")]
        got = dict(
            zip(
                asked,
                clients.map(
                    lambda one: own.post(
                        f"{address}/{one[0]}", files=content, params={"layer": one[1]}
                    ),
                    asked,
                ),
                strict=True,
            )
        )
        wrong = own.post(f"{address}/features", files=content, params={"layer": "res9"})
    other = Recognizer(checkpoint, device="cpu", precision="fp32")
    with open_video(video) as reader:
        windows = window_frames(other.contract, reader)
        clips = other.prepare(next(other.views(reader, windows)))
    for layer in ("res3", "res5"):
        found = got["features", layer].json()
        expected = StageFeatures(other, layer)(clips).detach()
        torch.testing.assert_close(torch.tensor(found["features"]), expected, rtol=1e-3, atol=1e-4)
        assert (found["layer"], found["weights"]) == (layer, recognizer.contract.weights)
        assert (found["start"][1], found["end"][-1]) == pytest.approx((7 / 30, 40 / 30), abs=1e-5)
        best = recognizer.predict(video).top(1)[0][0]
        assert got["predict", layer].json()[0]["label"] == best
    with client() as own:
        row = own.post(f"{address}/features", files=content, params={"layer": "res3", "pool": 1})
    windows = got["features", "res3"].json()
    assert row.json()["windows"] == len(windows["start"]) == windows["windows"] > 1
    assert (row.json()["start"], row.json()["end"]) == ([0.0], windows["end"][-1:])
    mean = torch.tensor(windows["features"]).mean(0, keepdim=True)
    torch.testing.assert_close(torch.tensor(row.json()["features"]), mean)
    assert wrong.status_code == 422
    assert "layer 'res9': no such layer" in wrong.json()["detail"]


def test_more_features_than_an_answer_holds(
    served: Served, video: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("video_gc.serve.api.MOST_VALUES", 300)
    address, content = served(), {"file": ("v", video.read_bytes())}
    with client() as own:
        answer = own.post(f"{address}/features", files=content)
        pooled = own.post(f"{address}/features", files=content, params={"pool": 1})
    assert answer.status_code == 422
    said = "6 windows of 256 features are more than 300 values; give pool=true for their mean"
    assert said in answer.json()["detail"]
    assert len(pooled.json()["features"][0]) == 256


def test_a_full_server_says_when_to_come_again(
    served: Served, service: Service, video: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compute, scoring, go_on = service.batches.compute, threading.Event(), threading.Event()
    calls = []

    def waits(views: np.ndarray, layer: str | None) -> torch.Tensor:
        calls.append(len(views))
        scoring.set()
        assert go_on.wait(60)
        return compute(views, layer)

    monkeypatch.setattr(service.batches, "compute", waits)
    address, content = served(queue=2), video.read_bytes()
    with ThreadPoolExecutor(2) as clients:
        try:
            inside = [clients.submit(post, address, content)]
            assert scoring.wait(60)
            inside.append(clients.submit(post, address, content))
            until(lambda: "requests_inside 2" in get(f"{address}/metrics").text)
            refused = post(address, content)
            alive = get(f"{address}/health")
            until(lambda: service.batches.waiting >= 8)  # of 12, 1 to 4 are being scored
        finally:
            go_on.set()
    assert refused.status_code == 503
    assert refused.headers["retry-after"] == str(RETRY)
    assert refused.json()["detail"] == "2 requests are in work or waiting; try again in 5 s"
    assert alive.json() == {"status": "ok", "decoders": service.decoders.count}
    assert [one.result().status_code for one in inside] == [200, 200]
    assert max(calls) == 4  # a micro-batch, of two requests
    assert sum(calls) == 12


def test_what_is_late_is_answered_504_and_not_scored(
    served: Served, service: Service, video: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compute, go_on, calls = service.batches.compute, threading.Event(), []

    def waits(views: np.ndarray, layer: str | None) -> torch.Tensor:
        calls.append(len(views))
        assert go_on.wait(60)
        return compute(views, layer)

    monkeypatch.setattr(service.batches, "compute", waits)
    try:
        answer = post(served(timeout=3), video.read_bytes())
    finally:
        go_on.set()
    assert answer.status_code == 504
    assert "not done within 3 s (--timeout); send a shorter video" in answer.json()["detail"]
    assert post(served(), video.read_bytes()).status_code == 200
    assert sum(calls[1:]) == 6  # the windows that waited were dropped


def test_an_error_of_the_network_is_of_its_windows(
    served: Served, service: Service, video: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = served()
    with monkeypatch.context() as patch:
        patch.setattr(service.batches, "compute", lambda views, layer: 1 / 0)
        answer = post(address, video.read_bytes())
    assert (answer.status_code, answer.json()["detail"][:12]) == (500, "an error of ")
    assert post(address, video.read_bytes()).status_code == 200


def test_a_request_cut_off_at_the_end_is_no_crash(capfd: pytest.CaptureFixture[str]) -> None:
    app, inside = FastAPI(), threading.Event()

    @app.get("/")
    async def endless() -> None:
        inside.set()
        await asyncio.sleep(60)

    with listening("127.0.0.1", 0) as listener, ThreadPoolExecutor(2) as threads:
        running = server(app, timeout=60, patience=0)
        ends = threads.submit(running.run, [listener])
        answer = threads.submit(get, f"http://127.0.0.1:{listener.getsockname()[1]}")
        assert inside.wait(60)
        running.should_exit = True
        ends.result(60)
        assert answer.result(60).status_code == 500
    said = capfd.readouterr().err
    assert "Cancel 1 running task" in said
    assert "Traceback" not in said


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("max_mb", 0, "max_mb (0) must be above 0"),
        ("timeout", float("inf"), "timeout (inf) must be above 0, and finite"),
        ("queue", 0, "queue (0) must be at least 1"),
        ("allow_url", ("https://a.org/",), "must be a host such as videos.example.org"),
    ],
)
def test_limits_that_cannot_be(option: str, value: object, said: str) -> None:
    with pytest.raises(ValueError, match=option) as error:
        Limits(**{option: value})  # type: ignore[arg-type]
    assert said in str(error.value)


def test_a_port_that_is_taken_and_an_extra_that_is_missing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with listening("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(OSError, match=f"127.0.0.1:{port}: cannot listen there .*--port"):
            listening("127.0.0.1", port)
    with pytest.raises(OSError, match="192.0.2.1:0: cannot listen there .*--host"):
        listening("192.0.2.1", 0)  # of no machine
    monkeypatch.setitem(NEEDED, "serve", ("json", "no_such_library"))
    with pytest.raises(ImportError, match=r'needs no_such_library; pip install "video_gc\[serve'):
        check_installed("serve")
