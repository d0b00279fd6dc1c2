"""Annotation files and folders of videos → VideoIndex: one file for each family of formats."""

from video_gc.data.annotations.class_folders import open_class_folders, read_class_folders
from video_gc.data.annotations.folder_scan import SUFFIXES, PassedOver, find_videos
from video_gc.data.annotations.listed_files import leave_out_missing, videos_by_name
from video_gc.data.annotations.lists import read_list, read_mmaction2, read_pyslowfast
from video_gc.data.annotations.tables import read_table
from video_gc.data.index import DataError, VideoIndex

__all__ = [
    "SUFFIXES",
    "DataError",
    "PassedOver",
    "VideoIndex",
    "find_videos",
    "leave_out_missing",
    "open_class_folders",
    "read_class_folders",
    "read_list",
    "read_mmaction2",
    "read_pyslowfast",
    "read_table",
    "videos_by_name",
]
