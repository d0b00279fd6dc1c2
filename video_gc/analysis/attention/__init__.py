"""Where the context blocks look, and whether that depends on the query."""

from video_gc.analysis.attention.maps import attention_maps, query_maps, stretch

__all__ = ["attention_maps", "query_maps", "stretch"]
