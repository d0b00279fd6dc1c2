"""The extras of setup.cfg: libraries that only some tasks need."""

from importlib.util import find_spec


def need(extra: str, *modules: str, by: object) -> None:
    """Raise ImportError with the install line if a module is missing; by: what needs them."""
    missing = [module for module in modules if not installed(module)]
    if missing:
        raise ImportError(f"{by} needs {', '.join(missing)}; {install_line(extra)}")


def installed(module: str) -> bool:
    """Whether a module can be imported."""
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # the package around it
        return False


def install_line(extra: str) -> str:
    """The command that installs an extra, also beside a clone."""
    return f'pip install "video_gc[{extra}]"'
