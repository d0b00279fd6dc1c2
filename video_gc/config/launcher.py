"""Hydra's launchers, which start the cells of an ablation: which there are, and their options."""

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from hydra import compose

from video_gc.config.composing import composing
from video_gc.manual import CONFIGS

LAUNCHERS = {
    "joblib": ("hydra_joblib_launcher", "joblib"),
    "submitit_local": ("hydra_submitit_launcher", "submitit"),
    "submitit_slurm": ("hydra_submitit_launcher", "submitit"),
    "ray": ("hydra_ray_launcher", "ray"),
    "basic": (None, ""),
}
"""hydra/launcher → its module in hydra_plugins, and the extra of ours that installs it."""


def check_launcher(arguments: Sequence[str], configs: Path = CONFIGS) -> None:
    """Raise ImportError where the launcher is not installed, ValueError for a wrong option of it.

    arguments: of Hydra itself, such as hydra/launcher=joblib hydra.launcher.n_jobs=2.
    """
    for argument in arguments:
        key, _, name = argument.partition("=")
        if key != "hydra/launcher":
            continue
        if name not in LAUNCHERS:
            raise ValueError(f"{argument}: no such launcher; valid: {', '.join(LAUNCHERS)}")
        module, extra = LAUNCHERS[name]
        if module and find_spec(f"hydra_plugins.{module}") is None:
            raise ImportError(f"{argument} is not installed: pip install -e '.[{extra}]'")
    with composing(configs, primary="sweep"):
        compose("sweep", list(arguments), return_hydra_config=True)
