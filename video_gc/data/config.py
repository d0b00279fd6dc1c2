"""The options of a data set."""

import re
from dataclasses import dataclass

from video_gc.data.generated.tasks import TASKS
from video_gc.decode.open import DECODERS
from video_gc.decode.reader import DEVICES, MAX_PIXELS

LISTS = ("list", "table", "pyslowfast", "mmaction2")
"""Kinds that read the files data.train, data.val and data.test."""
OFFICIAL_KINDS = ("kinetics", "ucf101", "hmdb51", "something_something", "charades")
"""Kinds with official files."""
KINDS = ("motions", "folder", *LISTS, "shards", *OFFICIAL_KINDS)
FORMS = ("rgb", "yuv")


@dataclass(kw_only=True)
class DataConfig:
    """A data set and how it is read."""

    kind: str = "motions"
    """motions (generated if missing), folder (ROOT/CLASS/video), list (`path label`), table (CSV,
    TSV, Parquet), pyslowfast or mmaction2 (their lists), shards (of video-gc prepare shards, in a
    folder or at an address such as s3://bucket/kinetics), or a data set with its official files:
    kinetics, ucf101, hmdb51, something_something, charades"""
    task: str = "alike"
    """task of motions: presence, alike, match, order, same_frame, or one_object (many classes, to
    train features); video_gc/data/generated/tasks.py says what they are"""
    root: str | None = None
    """folder of the videos; for lists, where relative paths start (the list's own folder)"""
    annotations: str | None = None
    """folder of the official files; ROOT/annotations if it exists, else ROOT"""
    train: str | None = None
    """list or table of training videos; for kinetics, the CSV (train.csv)"""
    val: str | None = None
    """list that chooses the best checkpoint; without it, a fifth of the training videos is held
    out"""
    test: str | None = None
    """list to test; without it and `val`, a fifth of the videos is held out first; without it
    alone, the validation videos are tested too"""
    names: str | None = None
    """file of class names in order, one per line; the official files of other data sets contain
    them"""
    split: int = 1
    """which of the three official splits (ucf101, hmdb51): 1, 2 or 3"""
    path_column: str = "path"
    """column of paths in a table; a number from 0 if the first line has no names"""
    label_column: str = "label"
    """column of labels in a table"""
    start_column: str | None = None
    """column with the start of the labelled part, in seconds"""
    end_column: str | None = None
    """column with the end of the labelled part, in seconds"""
    group: str | None = None
    """pattern (regular expression) that finds a video's group in its path, such as _g(\\d+)_ in
    v_Run_g03_c01.avi; without it, a table's column `group`. No group is divided by an automatic
    split (held-out validation videos, folds)"""
    split_seed: int = 0
    """order in which groups or videos are divided into splits and folds: 0 by name, others at
    random; apart from `seed`, so that all seeds are tested on the same videos"""
    multi_label: bool = False
    """videos have several labels: separated by ; or | in a list or table, in a list of mmaction2 by
    spaces (charades always has several)"""
    manifest: str | None = None
    """manifest of video-gc prepare check; its damaged and missing videos are left out. Default:
    ROOT/.video_gc/manifest.parquet, or in .video_gc beside a list without ROOT, if it exists"""
    decoder: str = "auto"
    """auto, pyav, decord, torchcodec or frames (a folder of extracted frames)"""
    decode_device: str = "cpu"
    """cpu or cuda (decode, crop and scale on the GPU)"""
    transfer: str = "rgb"
    """form in which clips go to the device: rgb, or yuv (half the bytes; the device converts
    colours)"""
    max_pixels: int = MAX_PIXELS
    """largest picture in pixels, before and after scaling; a clip may have 16 times as many; larger
    files are skipped"""
    flip: float = 0.5
    """probability of mirroring a training clip; classes with left or right are never mirrored"""
    workers: int = 2
    """loader processes; 0 decodes in the training process"""

    def __post_init__(self) -> None:
        for name, choices in (
            ("kind", KINDS),
            ("task", tuple(TASKS)),
            ("decoder", ("auto", *DECODERS)),
            ("decode_device", DEVICES),
            ("transfer", FORMS),
        ):
            if getattr(self, name) not in choices:
                raise ValueError(
                    f"data.{name} ({getattr(self, name)!r}) must be one of {', '.join(choices)}"
                )
        if self.kind in ("folder", "shards", *OFFICIAL_KINDS) and self.root is None:
            raise ValueError("data.root is missing: give the folder, data.root=DIR")
        if self.kind in LISTS and self.train is None and self.test is None:
            raise ValueError(self.without_list)
        if self.split not in (1, 2, 3):
            raise ValueError(f"data.split ({self.split}) must be 1, 2 or 3")
        several = ("list", "table", "mmaction2", "shards", "charades")
        if self.multi_label and self.kind not in several:
            raise ValueError(
                f"data.multi_label (true): videos of kind {self.kind} have one label; use list, "
                "table or mmaction2"
            )
        if self.kind == "charades":
            self.multi_label = True
        if self.group is not None:
            _check_pattern(self.group)
        if self.split_seed < 0:
            raise ValueError(f"data.split_seed ({self.split_seed}) must not be negative")
        if self.max_pixels < 1:
            raise ValueError(f"data.max_pixels ({self.max_pixels}) must be at least 1")
        if not 0 <= self.flip <= 1:
            raise ValueError(f"data.flip ({self.flip}) must be in [0, 1]")
        if self.workers < 0:
            raise ValueError(f"data.workers ({self.workers}) must not be negative")

    @property
    def without_list(self) -> str:
        """The message for a missing list of training videos."""
        forms = {"list": "a list of `path label`", "table": "a table (CSV, TSV, Parquet)"}
        form = forms.get(self.kind, f"a list in the format of {self.kind}")
        return f"data.train is missing: give {form}, data.train=FILE"

    @property
    def table_columns(self) -> dict[str, str]:
        """The named columns of a table, as `read_table` takes them."""
        names = ("path", "label", "start", "end")
        return {name: own for name in names if (own := getattr(self, f"{name}_column")) is not None}


def _check_pattern(text: str) -> None:
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(
            f"data.group ({text!r}) is not a regular expression ({error}); give one such as "
            r"'data.group=_g(\d+)_'"
        ) from error
