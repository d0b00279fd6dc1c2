"""Train a network with context blocks; `--help` explains every option."""

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from video_gc.cli import run_tool
from video_gc.config.values import check_root, check_values
from video_gc.config_folders import config_folders, own_files
from video_gc.manual import help_text, option_names, usual_values, wrong_argument
from video_gc.progress import say


def check() -> None:
    """Refuse a wrong option in one line; a wrong name before anything is imported.

    Hydra explains its own flags, and each run of a sweep is checked separately.
    """
    arguments, configs = config_folders(sys.argv[1:])
    flags = {argument for argument in arguments if argument.startswith("-")}
    if flags & {"--help", "-h"}:
        print_help([each for each in arguments if each not in ("--help", "-h")], configs)
    if flags and not any("=" in flag or flag[2:] in option_names() for flag in flags):
        return
    wrong = wrong_argument(arguments, configs)
    if wrong:
        raise ValueError(wrong)
    check_values(arguments, configs)
    check_root(arguments, configs)
    from video_gc.config import compose_train

    compose_train(arguments, configs)


def print_help(arguments: list[str], configs: Sequence[Path]) -> None:
    """Print all options with the values that `arguments` set, and exit."""
    if arguments:
        from video_gc.config import training_help  # late: it imports torch

        print(training_help(arguments, configs), end="")
    else:
        print(help_text(usual_values(configs), configs), end="")
    sys.exit()


def main() -> None:
    """One run, or the runs of a sweep (--multirun name=a,b)."""
    import hydra
    from omegaconf import DictConfig

    from video_gc.config import hydra_arguments, train_config
    from video_gc.config.compose import hydra_folder
    from video_gc.train.loop import train

    arguments, configs = config_folders(sys.argv[1:])
    if used := own_files(configs):
        say(used)

    def run(config: DictConfig) -> None:
        run_tool(lambda: report(train(train_config(config))), leave=False)

    sys.argv[1:] = hydra_arguments(arguments, configs)
    hydra.main(hydra_folder(configs), "train", version_base="1.3")(run)()


def report(directory: object) -> None:
    """Print the run directory, on the first process."""
    from video_gc.train.distributed.world import this_world

    if not this_world().first:
        return
    say(f"Trained. The results are in {directory}; next:")
    say(f"  video-gc test {shlex.quote(f'{directory}/checkpoints/best.ckpt')}")


if __name__ == "__main__":
    run_tool(check, leave=False)
    main()
