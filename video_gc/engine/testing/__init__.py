"""From a checkpoint to test results: every view of every video, on any number of processes."""

from video_gc.engine.testing.scoring import probabilities, score_views
from video_gc.engine.testing.views import ViewConfig

__all__ = ["ViewConfig", "probabilities", "score_views"]
