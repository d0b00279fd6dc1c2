"""Hydra on our files, and what a beginner is told about a typo; torch is not imported for it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from video_gc.manual import wrong_argument


@contextmanager
def composing(configs: Path, arguments: Sequence[str] = ()) -> Iterator[None]:
    """While the block runs, `hydra.compose` reads `configs`.

    arguments: as they were typed. Raises ValueError, in one line, for what Hydra refuses.
    """
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(configs.resolve()), version_base="1.3"):
        try:
            yield
        except (HydraException, OmegaConfBaseException) as error:
            raise ValueError(_explain(error, arguments, configs)) from error


def quoted(text: str) -> str:
    """Any text as one value of Hydra's grammar."""
    inside = text.replace("'", "\\'")
    return f"'{inside}'"


def _explain(error: Exception, arguments: Sequence[str], configs: Path) -> str:
    """What Hydra says of wrong arguments, in one line."""
    wrong = wrong_argument(arguments, configs)
    if wrong:
        return wrong
    cause: BaseException = error
    while cause.__cause__ is not None:
        cause = cause.__cause__
    lines = [line.strip() for line in str(cause).splitlines() if line.strip()]
    place = next((line for line in lines if line.startswith("full_key: ")), None)
    return f"{place.removeprefix('full_key: ')}: {lines[0]}" if place else "; ".join(lines[:2])
