"""Annotation files and folders of videos → VideoIndex: one file for each family of formats."""

from video_gc.data.annotations.folders import (
    find_videos,
    leave_out_missing,
    open_class_folders,
    read_class_folders,
    videos_by_name,
)
from video_gc.data.annotations.hold_out import hold_out
from video_gc.data.annotations.lists import read_list, read_mmaction2, read_pyslowfast
from video_gc.data.annotations.scan import SUFFIXES, PassedOver
from video_gc.data.annotations.tables import read_table
from video_gc.data.index import DataError, VideoIndex

__all__ = [
    "SUFFIXES",
    "DataError",
    "PassedOver",
    "VideoIndex",
    "find_videos",
    "hold_out",
    "leave_out_missing",
    "open_class_folders",
    "read_class_folders",
    "read_list",
    "read_mmaction2",
    "read_pyslowfast",
    "read_table",
    "videos_by_name",
]
