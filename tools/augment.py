"""Show augmented training clips of videos: a grid as an animated picture.

Each row is a video. The first column is the test clip, the others are the clips of epochs 0, 1, 2,
… of a training with these options. The options here are not those of a run: video-gc train only
mirrors, unless augment=light or strong.
"""

import argparse
from pathlib import Path

from video_gc.analysis.animation import check_suffix, write_animation
from video_gc.cli import Parser, in_range, run_tool
from video_gc.data.annotations.folder_scan import find_videos, is_video
from video_gc.data.config import DataConfig
from video_gc.data.generated.motions import MOTIONS, open_motions
from video_gc.data.index import VideoIndex
from video_gc.data.sampling import ClipConfig
from video_gc.outputs import Outputs
from video_gc.progress import say


def main() -> None:
    """Parse, draw, print the path."""
    options = _parse()
    check_suffix(options.out)
    Outputs(options.out.parent).check([options.out.name])
    from video_gc.analysis.augmented import augmented_grid  # late: it imports torch
    from video_gc.data.augment import AugmentConfig

    videos = options.videos or open_motions(MOTIONS, DataConfig.task) / "train"
    if videos.is_file() and not is_video(videos.name):
        raise ValueError(f"{videos}: not a video suffix (.mp4, .mkv, …); give a video or DIR")
    paths = [videos] if videos.is_file() else find_videos(videos, utf8=True)
    names = sorted({path.parent.name for path in paths})
    numbers = {name: number for number, name in enumerate(names)}
    index = VideoIndex.build(paths, [numbers[path.parent.name] for path in paths], names)
    clip = ClipConfig(
        frames=options.frames,
        stride=options.stride,
        target_fps=options.target_fps,
        crop=options.crop,
        short_side=options.short_side or [options.crop * 8 // 7, options.crop * 10 // 7],
        crop_area=options.crop_area,
        test_crop=options.crop,
        test_short_side=options.crop,
    )
    augment = AugmentConfig(
        brightness=options.jitter,
        contrast=options.jitter,
        saturation=options.jitter,
        hue=options.hue,
        grey=options.grey,
        randaugment=options.randaugment,
        magnitude=options.magnitude,
        erase=options.erase,
        mixup=options.mixup,
        cutmix=options.cutmix,
    )
    frames, shown = augmented_grid(
        index,
        clip,
        augment,
        rows=options.rows,
        flip=options.flip,
        draws=options.draws,
        seed=options.seed,
    )
    file = write_animation(options.out, frames, rate=options.rate)
    say(f"{shown} videos, tested and in {options.draws} draws: {file}")


def _parse() -> argparse.Namespace:
    parser = Parser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="examples:\n"
        "  video-gc augment                           the generated data set\n"
        "  video-gc augment DIR --erase 0 --mixup 0.8 your own videos, mixed\n"
        "  video-gc augment video.mp4 --draws 8 --out video.gif",
    )
    add = parser.add_argument
    add("videos", type=Path, nargs="?", help="a video, or a folder of them; default: motions")
    add(
        "--out", type=Path, default=Path("augmented.webp"), help=".webp, .gif or .png (%(default)s)"
    )
    add("--rows", type=in_range(int, 1), default=4, help="videos to show (%(default)s)")
    add("--draws", type=in_range(int, 1), default=5, help="draws of each (%(default)s)")
    rates = in_range(float, 0.1, 1000)  # durations are whole milliseconds
    add("--rate", type=rates, default=8.0, help="pictures per second (%(default)s)")
    add("--seed", type=in_range(int, 0), default=0, help="seed of the draws (%(default)s)")
    add("--frames", type=int, default=8, help="T, frames of a clip (%(default)s)")
    add("--stride", type=int, default=4, help="video frames between two clip frames (%(default)s)")
    add("--target_fps", type=float, help="count the stride at this rate, Hz")
    add("--crop", type=int, default=112, help="height and width in pixels (%(default)s)")
    add(
        "--short_side",
        type=int,
        nargs=2,
        metavar=("MIN", "MAX"),
        help="range before the crop, pixels",
    )
    add("--crop_area", type=float, nargs=2, metavar=("MIN", "MAX"), help="random-resized crops")
    share = in_range(float, 0, 1)
    add("--flip", type=share, default=0.5, help="probability of a mirrored clip (%(default)s)")
    add("--jitter", type=float, default=0.4, help="of brightness, contrast, colour (%(default)s)")
    add("--hue", type=float, default=0.0, help="rotation of the hue, at most 0.5 (%(default)s)")
    add("--grey", type=share, default=0.0, help="probability of a grey clip (%(default)s)")
    add("--randaugment", type=int, default=2, help="operations per clip (%(default)s)")
    add("--magnitude", type=int, default=9, help="strength of RandAugment, 0…30 (%(default)s)")
    add("--erase", type=float, default=0.25, help="probability of a grey box (%(default)s)")
    add("--mixup", type=float, default=0.0, help="α of mixup; 0.8 is usual (%(default)s)")
    add("--cutmix", type=float, default=0.0, help="α of cutmix; 1 is usual (%(default)s)")
    return parser.parse_args()


if __name__ == "__main__":
    run_tool(main)
