"""tools/attention.py on checkpoints with drawn context blocks, no training."""

import json
import re
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.conftest import counted_frames, randomise
from video_gc.analysis.attention.replacements import TOGETHER, measure_replacements, swap_blocks
from video_gc.analysis.clips import Clips, find_clips
from video_gc.blocks import NonLocal
from video_gc.data.dataset import VideoViews
from video_gc.decode.write import write_video
from video_gc.models.build import ModelConfig, build_model
from video_gc.models.context import ContextConfig, context_blocks
from video_gc.models.convert import convert
from video_gc.train.checkpoint import load_network
from video_gc.train.checkpoint_paths import checkpoint_in
from video_gc.train.resume.weights_file import KEY

QUICK = ("--positions", 16, "--pictures", 1, "--queries", "1x2")


def with_context(checkpoint: Path, folder: Path, kind: str, *, constant: bool = False) -> Path:
    """The checkpoint with drawn context blocks; constant: attention that no query changes."""
    kept = torch.load(checkpoint, weights_only=True)
    about = kept[KEY]["model"]
    context = ContextConfig(kind=kind, after=["res3.1", "res4.3"])
    about["context"] = asdict(context)
    plain = {**about, "context": context, "more_context": [], "weights": None}
    model = build_model(ModelConfig(**plain))
    every = {n.removeprefix("model."): v for n, v in kept["state_dict"].items()}
    own = {n: v for n, v in every.items() if ".context." not in n}
    model.load_state_dict(own, strict=False)
    for block in context_blocks(model).values():
        randomise(block)
        if constant and isinstance(block, NonLocal):
            torch.nn.init.zeros_(block.query.weight)
    kept["state_dict"] = {f"model.{n}": v for n, v in model.state_dict().items()}
    file = folder / f"{kind}.ckpt"
    torch.save(kept, file)
    return file


@pytest.fixture(scope="module")
def nl(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return with_context(checkpoint, tmp_path_factory.mktemp("nl"), "nl", constant=True)


def clips_of(checkpoint: Path, folder: Path) -> tuple[torch.nn.Module, Clips]:
    model, contents = load_network(checkpoint)
    index, listed = find_clips(checkpoint, contents, [folder])
    assert listed == len(index)
    device = torch.device("cpu")
    return model, Clips(index, contents.clip, contents.normalisation, device)


def test_the_drawn_clip_is_the_tested_one(nl: Path, clips_folder: Path) -> None:
    _, clips = clips_of(nl, clips_folder)
    for row in (0, 5):
        view = clips.view(row)
        tested = next(VideoViews(clips.index, clips.clip, clips=1, crops=1).views(row))
        np.testing.assert_array_equal(view.frames, tested.clip)
        assert np.diff(view.times) == pytest.approx([2 / 30] * 3, abs=1e-3)
    names = [clips.index.label_names(row)[0] for row in range(len(clips.index))]
    assert names == [path.parent.name for path in clips.index.paths]


def test_nothing_is_lost_where_no_query_matters(nl: Path, clips_folder: Path) -> None:
    model, clips = clips_of(nl, clips_folder)
    losses = measure_replacements(model, clips)
    assert losses is not None
    assert losses.apart
    assert losses.calibration == 3
    by = {(one.block, one.to): one for one in losses.rows}
    assert set(by) == {(b, to) for b in ("res3.1", "res4.3", TOGETHER) for to in ("snl", "gc")}
    for block in ("res3.1", "res4.3", TOGETHER):
        assert by[block, "snl"].relative.value < 1e-4
        assert by[block, "snl"].agreement.value == 1
        assert by[block, "snl"].clips == 9
    assert by["res3.1", "gc"].relative.value > 1e-3  # W_v was cut
    assert by["res3.1", "gc"].before is not None
    rows = range(len(clips.index))
    calibrating = rows[::4]
    given, measured = (
        [clip for clip, _ in clips.batches("", some)]
        for some in (calibrating, [row for row in rows if row not in calibrating])
    )
    cut = convert(model, "gc", given, blocks=["res3.1"]).network
    with torch.inference_mode():
        before, after = (
            torch.cat([network(clip) for clip in measured]) for network in (model, cut)
        )
    moved = (after - before).norm(dim=1) / before.norm(dim=1)
    same = (after.argmax(1) == before.argmax(1)).double()
    assert by["res3.1", "gc"].relative.value == pytest.approx(float(moved.mean()), rel=1e-3)
    assert by["res3.1", "gc"].agreement.value == pytest.approx(float(same.mean()))


def test_swapped_blocks_come_back(nl: Path) -> None:
    model, _ = load_network(nl)
    own = context_blocks(model)
    clip = torch.randn(1, 3, 4, 32, 32)
    with torch.inference_mode():
        before = model(clip)
        with swap_blocks(model, {"res3.1": torch.nn.Identity()}):
            assert not torch.equal(model(clip), before)
        assert torch.equal(model(clip), before)
    assert all(context_blocks(model)[name] is block for name, block in own.items())


def test_the_whole_tool(  # type: ignore[no-untyped-def]
    tool, nl: Path, clips_folder: Path, damaged: dict[str, Path], tmp_path: Path
) -> None:
    odd = write_video(tmp_path / "a&b <i>.mkv", counted_frames(3, 50, 90))
    out = tmp_path / "out"
    status, _, err = tool(
        "attention", nl, odd, clips_folder, damaged["truncated"], damaged["text"], "--out", out,
        "--all", *QUICK, "--no-cam",
    )  # fmt: skip
    assert status == 0, err
    assert "ttention hardly depends on the query in" in err
    assert "res3.1 (nl): 0.000" in err
    assert re.search(r"Videos that could not be read: [12]\b", err)
    assert "Videos shorter than a clip: 1" in err
    assert str(out / "attention.html") in err
    found = json.loads((out / "attention.json").read_text())
    assert found["videos"] + len(found["damaged"]) == found["listed"] == 15
    assert found["blocks"][0]["attention"]["overall"]["value"] == pytest.approx(0, abs=1e-5)
    assert found["losses"]["rows"][0]["to"] == "snl"
    for share in ("unary_share", "unary_share_time", "unary_share_space"):
        assert found["blocks"][0][share]["value"] == pytest.approx(1, abs=1e-6)
    assert "the unary part is 100.0 % (100.0 to 100.0) of the logits' variance" in err
    assert "Attention that the unary part explains" in err
    (picture,) = found["pictures"]
    assert Path(picture["video"]).is_file()
    page = (out / "attention.html").read_text()
    assert "<i>.mkv" not in page
    assert "data:image/webp;base64," in page
    assert "http" not in page
    assert "How much of the attention the unary part explains" in page


@pytest.mark.slow
def test_shared_maps_of_the_runs_own_videos(  # type: ignore[no-untyped-def]
    tool, checkpoint: Path, tmp_path: Path
) -> None:
    gc = with_context(checkpoint, tmp_path, "gc")
    listed = tmp_path / "list.txt"
    clip = write_video(tmp_path / "own.mp4", counted_frames(20))
    listed.write_text(f"{clip} dark\n")
    status, _, err = tool("attention", gc, listed, "--out", tmp_path / "o", *QUICK, "--no-cam")
    assert status == 0, err
    assert "One map for all queries in 2 of 2 blocks" in err
    found = json.loads((tmp_path / "o" / "attention.json").read_text())
    assert found["losses"] is None
    assert found["videos"] == 1


def test_errors_in_one_line(  # type: ignore[no-untyped-def]
    tool, nl: Path, checkpoint: Path, clips_folder: Path, damaged: dict[str, Path], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    (tmp_path / "empty").mkdir()
    plain = with_context(checkpoint, tmp_path, "none")
    for arguments, status, said in (
        ((plain, clips_folder), 1, "the network has no context blocks"),
        ((nl, tmp_path / "empty"), 1, "no videos in this folder"),
        ((nl, tmp_path / "none.mp4"), 2, "none.mp4: no such file or folder"),
        ((nl, damaged["text"], damaged["zero-byte"]), 1, "none of 2 videos could be read"),
        ((nl, damaged["truncated"], "--queries", "7"), 2, "--queries (7) must be a grid"),
        ((nl, clips_folder, "--blocks", "res9.9"), 2, "--blocks (res9.9): there are maps of"),
    ):
        found, _, err = tool("attention", *arguments, "--out", tmp_path / "out")
        assert (found, said in err) == (status, True), err
    monkeypatch.setattr("video_gc.extras.find_spec", lambda _name: None)
    found, _, err = tool("attention", nl, clips_folder, "--cam")
    assert found == 2
    assert 'pip install "video_gc[cam]"' in err


def test_a_run_is_its_best_checkpoint_else_its_last(tmp_path: Path) -> None:
    kept = tmp_path / "run" / "checkpoints"
    kept.mkdir(parents=True)
    assert checkpoint_in(kept.parent) == kept / "best.ckpt"  # which the error then names
    (kept / "last.ckpt").touch()
    assert checkpoint_in(kept.parent) == kept / "last.ckpt"
    (kept / "best.ckpt").touch()
    assert checkpoint_in(kept.parent) == kept / "best.ckpt"
    assert checkpoint_in(kept / "last.ckpt") == kept / "last.ckpt"
