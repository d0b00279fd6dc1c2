"""Prepare data: check videos, make small copies, pack them into shards, identify them by a hash."""

import argparse
import os
import re
from pathlib import Path

from video_gc.cli import Parser, run_tool
from video_gc.data.annotations.text_files import read_names
from video_gc.data.config import LISTS, OFFICIAL_KINDS, DataConfig
from video_gc.data.fingerprint import fingerprint_videos, published_count_note
from video_gc.data.generated.motions import MOTIONS, generate_motions
from video_gc.data.generated.tasks import TASKS
from video_gc.data.manifest import NAME, Listing, choose_manifest
from video_gc.data.prepare.check import check_videos
from video_gc.data.prepare.listing import list_official, list_sources, usable
from video_gc.data.prepare.resize import ResizeConfig, resize_videos
from video_gc.data.prepare.summary import show_resize, show_summary
from video_gc.data.shards.webdataset import index_tars
from video_gc.data.shards.write import INDEX, write_left_out, write_shards
from video_gc.progress import counted, say

CHECK = """\
Decode every frame of every video, in several processes, and write a manifest: a Parquet table of
the content and damage of each file. Training and testing leave out damaged videos. Lists beside it
name damaged, missing and duplicated files and leaks between splits. Exit status 1 if a file is
damaged or missing, or a split leaks. Rerun it to resume, or to check only new and changed files.
Lists may be checked one after the other: the manifest keeps the videos of earlier lists, and finds
leaks between lists. Groups (source videos, persons, matches) are counted; one in two splits is a
leak."""
RESIZE = """\
Write a copy of a folder of videos as H.264 with a small short side and close key frames, which
training reads faster. Frames and their times stay. They are stored upright, with
square pixels and without HDR; sound is dropped; only larger pictures are scaled. A file appears
when it is complete. Rerun the command to resume. Files that resize did not write are never
replaced: it names them and stops."""
COLUMNS = {
    "path": "the column of paths (path; a number from 0 if the first line has no names)",
    "label": "the column of labels (label)",
    "start": "start of the labelled part, in s",
    "end": "its end, in s",
}
SHARDS = """\
Pack videos into tar files of about --size, and write index.parquet, which has the place of each
video and what a manifest of `check` knows. WebDataset reads the tar files too. Copy the folder to
a bucket, or leave it where it is, and train with data=shards data.root=OUT_OR_ADDRESS. Missing and
damaged videos are left out and listed. Rerun it to resume. With --index, OUT has tar files of
WebDataset, which are indexed as they are."""
FINGERPRINT = """\
Print a short hash of each split, from file names, classes and file contents. "contents" needs the
manifest of `check`; "sizes" does not. Every checkpoint and every result stores the hash of its
videos; copies with equal hashes are the same. Class names count: give --names if the training has
data.names."""


def main() -> int:
    """Parse, prepare, print the findings; returns 1 if videos are damaged or missing."""
    options = parse()
    if options.job == "motions":
        say(f"Videos are in {generate_motions(options.root, options.task, seed=options.seed)}")
        return 0
    if options.job == "resize":
        config = ResizeConfig(
            short_side=options.short_side,
            keyframe_interval=options.keyframe_interval,
            crf=options.crf,
        )
        resized = resize_videos(options.source, options.target, config, workers=options.workers)
        show_resize(resized, options.target)
        return int(resized.failed > 0)
    if options.job == "shards" and options.index:
        say(f"{counted(index_tars(options.out), 'video')} indexed: {options.out / INDEX}")
        return 0
    listing = sources(options)
    root = listing.root
    if options.job == "shards":
        return pack(listing, options)
    if options.job == "check":
        result = check_videos(
            listing.videos,
            root,
            options.out or root / NAME,
            workers=options.workers,
            time_limit=options.time_limit,
            min_frames=options.min_frames,
        )
        show_summary(result)
        return int(not result.sound)
    manifest = choose_manifest(options.manifest, root)
    listed, kept = listing.videos, usable(listing, manifest).videos
    if len(kept) < len(listed):
        say(f"{len(listed) - len(kept)} of {len(listed)} videos are missing or damaged: left out")
    for split in dict.fromkeys(video.split for video in kept):
        videos = [video for video in kept if video.split == split]
        number = counted(len(videos), "video")
        print(f"{split or 'all'}\t{fingerprint_videos(videos, manifest)}\t{number}")
        classes = len({video.label for video in videos})
        note = published_count_note(f"{options.data} {root}", len(videos), classes)
        if split == "val" and note:
            say(note)
    return 0


def pack(listing: Listing, options: argparse.Namespace) -> int:
    """Write shards of the usable videos; returns 1 if some are left out."""
    manifest = choose_manifest(options.manifest, listing.root)
    kept = usable(listing, manifest)
    count = write_shards(kept, options.out, options.size, manifest)
    packed = f"{counted(len(kept.videos), 'video')} in {counted(count, 'shard')} and {INDEX}"
    say(f"{packed}: {options.out}")
    file, gone = write_left_out(listing, kept, options.out)
    if gone:
        listed = len(listing.videos)
        say(f"{gone} of {listed} videos are missing or damaged, and left out: {file}")
    return int(gone > 0)


def sources(options: argparse.Namespace) -> Listing:
    """The videos given by the arguments."""
    names = read_names(options.names) if options.names else None
    if options.data is None:
        columns = {name: getattr(options, f"{name}_column") for name in COLUMNS}
        return list_sources(
            options.source,
            options.root,
            kind=options.kind,
            names=names,
            multi_label=options.multi_label,
            columns={name: column for name, column in columns.items() if column is not None},
            group=options.group,
        )
    if options.source or options.root is None:
        raise ValueError(f"--data {options.data} needs --root DIR, and no other source")
    return list_official(
        options.data,
        options.root,
        options.annotations,
        names=names,
        split=options.split,
        group=options.group,
    )


def parse() -> argparse.Namespace:
    """The arguments. Raises ValueError for wrong ones."""
    parser = Parser(description=__doc__, epilog="JOB --help tells more, with an example.")
    jobs = parser.add_subparsers(dest="job", required=True, metavar="JOB")

    def job(name: str, text: str, example: str, short: str) -> argparse.ArgumentParser:
        return jobs.add_parser(
            name,
            help=short,
            description=text,
            epilog=f"example: video-gc prepare {example}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )

    motions = job("motions", "Generate the videos of a task.", "motions", "generate a data set")
    motions.add_argument("--task", choices=TASKS, default=DataConfig.task, help="(%(default)s)")
    motions.add_argument("--root", type=Path, default=MOTIONS, help="(%(default)s)")
    motions.add_argument("--seed", type=int, default=0, help="seed of the videos (0)")

    check = job(
        "check",
        CHECK,
        "check --data ucf101 --root data/ucf101",
        "decode every frame; write a manifest",
    )
    add_sources(check)
    check.add_argument(
        "--group",
        type=pattern,
        metavar="PATTERN",
        help=r"as data.group: finds a video's group in its path, such as '_g(\d+)_'; by default a "
        "table's column `group`",
    )
    check.add_argument("--out", type=Path, help=f"the manifest (ROOT/{NAME})")
    add_workers(check)
    check.add_argument("--time-limit", type=float, default=60, help="seconds for one frame (60)")
    check.add_argument(
        "--min-frames", type=int, default=2, help="shorter videos are called short (2)"
    )

    example = "resize data/kinetics400 data/kinetics400_256 --workers 16"
    resize = job("resize", RESIZE, example, "make a small copy that is fast to read")
    default = ResizeConfig()
    resize.add_argument("source", type=Path, metavar="SOURCE", help="folder of videos")
    resize.add_argument("target", type=Path, metavar="DEST", help="folder of the copies")
    resize.add_argument(
        "--short-side", type=int, default=default.short_side, help="pixels (%(default)s)"
    )
    resize.add_argument(
        "--keyframe-interval",
        type=int,
        default=default.keyframe_interval,
        help="largest distance of key frames (%(default)s); smaller: faster, larger files",
    )
    resize.add_argument(
        "--crf", type=int, default=default.crf, help="x264's quality, 0 (best) … 51 (%(default)s)"
    )
    add_workers(resize)

    example = "shards data/kinetics400_256 shards/kinetics400 --size 256MB"
    shards = job("shards", SHARDS, example, "pack videos into tar files")
    add_sources(shards)
    shards.add_argument("out", type=Path, metavar="OUT", help="folder of the shards")
    shards.add_argument(
        "--size", type=in_bytes, default=in_bytes("256MB"), help="of a shard, such as 1GB (256MB)"
    )
    shards.add_argument("--manifest", type=Path, help=f"(ROOT/{NAME} if it exists)")
    shards.add_argument("--index", action="store_true", help="only index the tar files in OUT")
    shards.set_defaults(group=None)

    example = "fingerprint --data kinetics --root data/kinetics400"
    fingerprint = job("fingerprint", FINGERPRINT, example, "identify a copy by a short hash")
    add_sources(fingerprint)
    fingerprint.set_defaults(group=None)
    fingerprint.add_argument("--manifest", type=Path, help=f"(ROOT/{NAME} if it exists)")
    return parser.parse_args()


def pattern(text: str) -> str:
    """A regular expression. Raises argparse.ArgumentTypeError for anything else."""
    try:
        re.compile(text)
    except re.error as error:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a regular expression ({error})"
        ) from error
    return text


def in_bytes(text: str) -> int:
    """A size such as 256MB. Raises argparse.ArgumentTypeError for anything else."""
    units = {"KB": 10**3, "MB": 10**6, "GB": 10**9}
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(KB|MB|GB)", text.strip().upper())
    if found is None or float(found[1]) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no size; write it as 256MB or 1GB")
    return int(float(found[1]) * units[found[2]])


def add_sources(job: argparse.ArgumentParser) -> None:
    """Options for the videos."""
    job.add_argument(
        "source",
        type=Path,
        nargs="*",
        metavar="FOLDER_OR_LIST",
        help="CLASS/video or train|val|test/CLASS/video, or lists of videos",
    )
    kinds = ", ".join(OFFICIAL_KINDS)
    job.add_argument("--data", metavar="KIND", help=f"official lists instead: one of {kinds}")
    job.add_argument(
        "--root", type=Path, help="folder of its files, or for relative paths of lists"
    )
    job.add_argument("--annotations", type=Path, help="folder of the official lists (ROOT)")
    job.add_argument("--split", type=int, default=1, help="for ucf101 and hmdb51: 1, 2 or 3 (1)")
    job.add_argument("--names", type=Path, help="class names, one per line, as in data.names")
    job.add_argument(
        "--kind",
        help=f"kind of lists: {', '.join(LISTS)} (table for .csv, .tsv, .parquet; else list)",
    )
    job.add_argument(
        "--multi-label", action="store_true", help="videos of lists have several labels"
    )
    for name, meaning in COLUMNS.items():
        job.add_argument(f"--{name}-column", metavar="NAME", help=f"for tables: {meaning}")


def add_workers(job: argparse.ArgumentParser) -> None:
    """Option for the number of processes."""
    cores = os.cpu_count() or 1
    job.add_argument("--workers", type=int, default=cores, help=f"processes ({cores}, the cores)")


if __name__ == "__main__":
    run_tool(main)
