"""What the demo's network learns from motions with its context blocks and without (slow).

`alike` cannot be told from any one place, so the network without blocks must stay near chance;
`presence` can, so the same network must learn it.
"""

from pathlib import Path

import pytest

from video_gc.config import compose_train
from video_gc.config.ablation import plan_ablation
from video_gc.evaluate.evaluate import evaluate
from video_gc.train.loop import train

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def motions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("data") / "motions"


@pytest.mark.parametrize(
    ("task", "row", "least", "most"),
    [
        ("alike", "GC", 0.95, 1.0),
        ("alike", "without", 0.4, 0.6),
        ("presence", "without", 0.95, 1.0),
    ],
)
def test_the_demos_network(
    motions: Path, tmp_path: Path, task: str, row: str, least: float, most: float
) -> None:
    given = (f"data.task={task}", f"data.root={motions}", f"runs={tmp_path}")
    (cell,) = plan_ablation(["ablation=demo", f"only=[{row}]", *given]).cells
    run = train(compose_train(cell.arguments))
    level = evaluate(run / "checkpoints" / "best.ckpt").result.video_level
    print(f"{task}, {row}: {level}")
    assert level.count == 600
    assert least <= level.top1 <= most
