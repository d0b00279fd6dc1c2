"""Train a network with context blocks; `--help` shows every option."""

import sys

import hydra
from omegaconf import DictConfig

from video_gc.cli import run_tool
from video_gc.config import OPTIONS, compose_train, hydra_arguments, train_config
from video_gc.engine.ranks.world import this_world
from video_gc.engine.training import train
from video_gc.progress import say


def check() -> None:
    """Explain a wrong option in one line before Hydra does in many; its own flags it explains."""
    flags = {argument for argument in sys.argv[1:] if argument.startswith("-")}
    if not flags or any("=" in flag or flag[2:] in OPTIONS for flag in flags):
        compose_train(sys.argv[1:])


@hydra.main(config_path="../configs", config_name="train", version_base="1.3")
def main(config: DictConfig) -> None:
    """One run, or one of a sweep (--multirun name=a,b)."""
    run_tool(lambda: report(train(train_config(config))), leave=False)


def report(directory: object) -> None:
    """Say where everything lies; once, of several processes."""
    if not this_world().first:
        return
    say(f"Trained. Everything lies in {directory}; next:")
    say(f"  python tools/test.py {directory}/checkpoints/best.ckpt")


if __name__ == "__main__":
    run_tool(check, leave=False)
    sys.argv[1:] = hydra_arguments(sys.argv[1:])
    main()
