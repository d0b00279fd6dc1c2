"""The description in a checkpoint fits its network, or the checkpoint is refused."""

from pathlib import Path

import pytest
import torch

from video_gc.train.checkpoint import KEY, read_checkpoint


@pytest.mark.parametrize("names", [["bright"], ["bright", "dark", "grey"]])
def test_as_many_names_as_classes(checkpoint: Path, tmp_path: Path, names: list[str]) -> None:
    content = torch.load(checkpoint, weights_only=True)
    content[KEY]["names"] = names
    changed = tmp_path / "changed.ckpt"
    torch.save(content, changed)
    said = rf"changed\.ckpt: {len(names)} class names for a network of 2 classes"
    with pytest.raises(ValueError, match=said):
        read_checkpoint(changed)
