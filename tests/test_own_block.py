"""docs/own_block.md, followed; and what every part of the house says of such a block."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch import Tensor, nn

from tests.conftest import SMALL
from video_gc.analysis.attention.maps import attention_maps, query_maps
from video_gc.analysis.attention.panels import block_panels, drawn_blocks
from video_gc.analysis.attention.study import BlockStudy, study
from video_gc.blocks import BLOCKS, kind_of
from video_gc.config import compose_train
from video_gc.data.index import DataError
from video_gc.models.build import ModelConfig, build_model, build_with_report
from video_gc.models.context import ContextConfig, context_blocks
from video_gc.models.describe import describe

ROOT = Path(__file__).parents[1]
WALK = (ROOT / "docs" / "own_block.md").read_text("utf-8")
FENCES = re.findall(r"```(python|sh)\n(.*?)```", WALK, re.DOTALL)
BLOCK, TEST, SCRIPT = (text for language, text in FENCES if language == "python")
(COMMAND,) = (shlex.split(text)[2:] for language, text in FENCES if language == "sh")
"""The arguments of the training."""
ENTRY = '"frame_mix": FrameMix,'
"""The line of the walk."""


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The module of the walk's block, which is in BLOCKS."""
    module = ModuleType("video_gc.blocks.frame_mix")
    exec(BLOCK, module.__dict__)
    monkeypatch.setitem(BLOCKS, "frame_mix", module.FrameMix)
    return module


def network(kind: str) -> nn.Module:
    context = ContextConfig(kind=kind, after=["res4.1"])
    return build_model(
        ModelConfig(backbone="slow", width=0.125, num_classes=3, context=context)
    ).eval()


def test_the_walk_is_short_and_names_the_line() -> None:
    assert len(WALK.splitlines()) < 60
    assert f"`{ENTRY}`" in WALK


def test_the_test_of_the_walk_passes(registered: ModuleType) -> None:
    own: dict = {}
    exec(TEST, own)
    tests = [value for name, value in own.items() if name.startswith("test_")]
    for test in tests:
        test()
    assert len(tests) == 1


def test_the_command_of_the_walk_needs_no_file(registered: ModuleType) -> None:
    for arguments in (COMMAND, [*COMMAND, "model.context.options.frames=5"]):
        context = compose_train(arguments).model.context
        assert (context.kind, len(context.options)) == ("frame_mix", len(arguments) - len(COMMAND))
    with pytest.raises(ValueError, match="no such context; did you mean 'frame_mix'"):
        compose_train(["context=frame_mx"])
    with pytest.raises(ValueError, match="takes no option 'frame'; did you mean 'frames'"):
        compose_train(["context=frame_mix", "model.context.options.frame=5"])


def test_its_multiply_adds_are_counted(registered: ModuleType) -> None:
    table = describe(network("frame_mix"), (4, 32, 32))
    channels = 128
    assert list(table.columns[5].cells) == [f"{4 * 3 * channels**2:,}"] * 2


def test_it_has_no_attention_to_show(registered: ModuleType) -> None:
    model = network("frame_mix")
    with pytest.raises(DataError, match=r"\(frame_mix\) have no attention weights, so there is no"):
        drawn_blocks(model)
    (found,) = study(model, [torch.randn(1, 3, 4, 32, 32)], positions=16)
    assert (found.kind, found.reach) == ("frame_mix", "")
    assert set(found.reasons.values()) == {"frame_mix tells no attention weights"}


@pytest.mark.parametrize(
    ("theirs", "ours", "said"),
    [
        ("frame_mix", "gc", "have own blocks after_add of .* has gc; use context=KIND "),
        ("gc", "frame_mix", "have gc blocks after_add of .* has own; use context=gc "),
    ],
)
def test_its_weights_are_those_of_none_of_ours(
    theirs: str, ours: str, said: str, registered: ModuleType, tmp_path: Path
) -> None:
    torch.save(network(theirs).state_dict(), tmp_path / "own.pt")
    given = ModelConfig(
        backbone="slow", width=0.125, num_classes=3, weights=str(tmp_path / "own.pt"),
        context=ContextConfig(kind=ours, after=["res4.1"]),
    )  # fmt: skip
    with pytest.raises(ValueError, match=said):
        build_with_report(given)


class Brightest(nn.Module):
    """All positions share the weights of the first channel."""

    def __init__(self, _channels: int) -> None:
        super().__init__()

    def forward(self, x: Tensor) -> Tensor:
        weights = self.attention_map(x).unsqueeze(1)
        return x + (weights * x).sum((2, 3, 4), keepdim=True)

    def attention_map(self, x: Tensor) -> Tensor:
        return x[:, 0].flatten(1).softmax(1).reshape(x[:, 0].shape)


class Nearest(Brightest):
    """Each position weighs itself alone."""

    attention_map = None  # type: ignore[assignment]

    def forward(self, x: Tensor) -> Tensor:
        return 3 * x

    def query_maps(self, x: Tensor, queries: Tensor) -> Tensor:
        maps = x.new_zeros(len(x), len(queries), x[0, 0].numel())
        maps[:, torch.arange(len(queries)), queries] = 1
        return maps.unflatten(2, x.shape[2:])


def looked_at(
    block: type[nn.Module], monkeypatch: pytest.MonkeyPatch
) -> tuple[nn.Module, BlockStudy]:
    monkeypatch.setitem(BLOCKS, "own", block)
    model = network("own")
    assert drawn_blocks(model) == ["res4.1"]
    (found,) = study(model, [torch.randn(2, 3, 4, 64, 64)], positions=16)
    assert found.kind == kind_of(context_blocks(model)["res4.1"]) == "own"
    return model, found


def test_an_own_shared_map_is_drawn_and_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    model, found = looked_at(Brightest, monkeypatch)
    clip = torch.randn(1, 3, 4, 64, 64)
    shared = attention_maps(model, clip)["res4.1"]
    assert shared.shape == (1, 4, 4, 4)
    (panel,) = block_panels(model, clip, ["res4.1"], [(0, 0, 0)])
    assert len(panel.maps) == 1
    torch.testing.assert_close(panel.maps[0], 64 * shared[0])
    assert (found.reach, found.keys, found.queries) == ("shared", 64, 64)
    assert found.entropy is not None
    assert found.time_centre is not None
    assert found.attention is None


def test_own_maps_of_queries_are_drawn_and_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    model, found = looked_at(Nearest, monkeypatch)
    assert (found.reach, found.keys) == ("all", 64)
    assert found.attention is not None
    assert found.attention.overall.value == pytest.approx(1)  # two queries have nothing in common
    assert found.entropy.value == pytest.approx(0, abs=1e-9)
    assert found.change.value == pytest.approx(2)
    assert found.input.overall.value == pytest.approx(found.output.overall.value, abs=1e-5)
    assert found.reasons["unary_share"] == "the logits of own are unknown"
    clip = torch.randn(1, 3, 4, 64, 64)
    (mapped,) = query_maps(model, clip, [(0, 0, 0.3)]).values()
    assert mapped[0, 0].nonzero().tolist() == [[0, 0, 1]]
    (panel,) = block_panels(model, clip, ["res4.1"], [(0, 0, 0.3)])
    assert len(panel.maps) == 2


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the package after the walk: one file, one line and its import."""
    root = tmp_path_factory.mktemp("clone")
    without = shutil.ignore_patterns("__pycache__")
    for name in ("video_gc", "tools", "configs"):
        shutil.copytree(ROOT / name, root / name, ignore=without)
    (root / "video_gc" / "blocks" / "frame_mix.py").write_text(BLOCK)
    init = root / "video_gc" / "blocks" / "__init__.py"
    text = init.read_text().replace(
        '    "cc": CrissCross,\n', f'    "cc": CrissCross,\n    {ENTRY}\n'
    )
    head = "from video_gc.blocks.global_context import"
    init.write_text(text.replace(head, f"from video_gc.blocks.frame_mix import FrameMix\n{head}"))
    return root


def run(*command: object, cwd: Path) -> str:
    """The output of `python COMMAND` with the packages of `cwd`, or of this clone."""
    path = cwd if (cwd / "video_gc").is_dir() else ROOT
    done = subprocess.run(
        [sys.executable, *map(str, command)],
        cwd=cwd, env={"PATH": "", "PYTHONPATH": str(path), "COLUMNS": "200"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert not done.returncode, done.stderr
    return done.stdout + done.stderr


def test_the_help_of_a_clone_lists_it(clone: Path) -> None:
    assert "context: cc, dnl, frame_mix, gc," in run("-m", "video_gc", "train", "--help", cwd=clone)


@pytest.mark.slow
def test_the_walk_works_in_a_clone(clone: Path, clips_folder: Path) -> None:
    small = [o for o in SMALL if o != "context=gc"] + [f"data.root={clips_folder}", "epochs=1"]
    trained = run("-m", "video_gc", "train", *COMMAND, *small, cwd=clone)
    assert "context blocks (frame_mix)" in trained
    counted = run("-m", "video_gc", "complexity", "runs/frame_mix", "--seconds", 0, cwd=clone)
    assert "context blocks (frame_mix)" in counted
    folder = clone / "tests" / "blocks"
    folder.mkdir(parents=True)
    (folder / "test_frame_mix.py").write_text(TEST)
    shutil.copy(ROOT / "tests" / "blocks" / "test_contract.py", folder)
    shutil.copy(ROOT / "tests" / "conftest.py", clone / "tests")
    assert "5 passed" in run("-m", "pytest", "-q", "-k", "frame", "tests/blocks", cwd=clone)


@pytest.mark.slow
def test_the_script_of_the_walk_is_every_command_with_the_block(
    tmp_path: Path, clips_folder: Path
) -> None:
    (tmp_path / "own.py").write_text(SCRIPT)
    (tmp_path / "frame_mix.py").write_text(BLOCK)
    small = [*SMALL, f"data.root={clips_folder}", "epochs=1"]
    run("own.py", "train", *COMMAND, *small, cwd=tmp_path)
    assert "Scored" in run("own.py", "test", "runs/frame_mix", cwd=tmp_path)
    exported = ("--format", "exported_program", "--out", "exported")
    run("own.py", "export", "runs/frame_mix", *exported, cwd=tmp_path)
    assert (tmp_path / "exported").is_dir()
