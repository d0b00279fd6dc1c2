"""From a checkpoint to test results: every view of every video, on any number of processes."""

from video_gc.evaluate.scoring import probabilities, score_views
from video_gc.train.test_options import ViewConfig

__all__ = ["ViewConfig", "probabilities", "score_views"]
