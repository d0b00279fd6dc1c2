"""Most tests of this folder need no process: jobs run here, one after the other."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest

from video_gc.data.prepare import check, resize
from video_gc.data.prepare.jobs import check_file, resize_file
from video_gc.subprocess_call import call_each


@pytest.fixture(autouse=True)
def jobs_run_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several workers, and functions that crash, still get processes."""

    def here(
        function: Callable[[Any], Any], jobs: Iterable[Any], *, workers: int, patience: Any
    ) -> Iterator[tuple[Any, Any]]:
        if workers > 1 or function not in (check_file, resize_file):
            yield from call_each(function, jobs, workers=workers, patience=patience)
            return
        for job in jobs:
            try:
                yield job, function(job)
            except Exception as error:
                yield job, error

    for module in (check, resize):
        monkeypatch.setattr(module, "call_each", here)
