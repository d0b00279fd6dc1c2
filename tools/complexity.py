"""The cost of a network: parameters, FLOPs, activations, latency and memory, in total, by stage and
residual block, and of its context blocks.

  video-gc complexity                                        the demo's network
  video-gc complexity context=nl placement=five model=slow_r50     options of video-gc train
  video-gc complexity experiment=kinetics400/slow_r50_8x8_gc5 --clip 8 224 --no-measure
  video-gc complexity runs/demo                              a run, or a checkpoint
  video-gc complexity slow_r50                               a published network

FLOPs are multiply-adds; attention is counted.
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from video_gc.cli import Parser, in_range, run_tool
from video_gc.config_folders import config_folders
from video_gc.manual import wrong_argument
from video_gc.outputs import write_output
from video_gc.progress import console, say
from video_gc.train.checkpoint_paths import checkpoint_in

if TYPE_CHECKING:
    from video_gc.data.sampling import ClipConfig
    from video_gc.models.build import ModelConfig

SHORT = 20
"""Most residual blocks printed by default."""
KINETICS = 400


def main() -> None:
    """Parse, count, measure, print."""
    options = parser().parse_intermixed_args()
    alone = next((name for name in options.network if "=" not in name), None)
    if alone and len(options.network) > 1:
        raise ValueError(
            f"give {alone!r} alone; another network needs only options, such as "
            "model=slow_r50 context=nl"
        )
    configs = config_folders([])[1]
    wrong = wrong_argument(options.network, configs) if is_config(options.network) else None
    if wrong:  # before torch is imported
        raise ValueError(wrong)
    if not is_config(options.network):
        checkpoint_in(Path(options.network[0]))
    import torch

    from video_gc.analysis.cost.cost_table import cost_tables, notes, write_cost_csv
    from video_gc.analysis.cost.network_cost import network_cost, with_clip
    from video_gc.analysis.cost.parts import BLOCK

    if options.threads:
        torch.set_num_threads(options.threads)
    model, clip = chosen(options.network, configs)
    if options.clip:
        clip = with_clip(clip, *options.clip)
    if options.classes:
        model = replace(model, num_classes=options.classes)
    elif model.num_classes is None:
        model = replace(model, num_classes=KINETICS)
        say(f"Number of classes not given: {KINETICS}, as in Kinetics-400 (--classes)")
    cost = network_cost(
        model, clip, batch=options.batch, device=options.device, measure=options.measure,
        seconds=options.seconds,
    )  # fmt: skip
    few = len(cost.of(BLOCK)) <= SHORT
    blocks = few if options.blocks is None else options.blocks
    for table in cost_tables(cost, blocks=blocks, width=console.width):
        console.print(table)
    for line in notes(cost):
        console.print(line, highlight=False)
    if options.json:
        content = json.dumps(cost.to_dict(), indent=1, ensure_ascii=False)
        say(f"  {write_output(options.json, content)}")
    if options.csv:
        say(f"  {write_cost_csv(cost, options.csv)}")


def parser() -> Parser:
    """The arguments."""
    made = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument(
        "network", nargs="*", metavar="NETWORK",
        help="a run directory, a checkpoint, the name of published weights (slow_r50), or options "
        "of video-gc train such as model=slow_r50 context=nl; default: the demo's",
    )  # fmt: skip
    made.add_argument("--classes", type=in_range(int, 1), help="default: as in the checkpoint or "
                      "config; motions has 2, else 400")  # fmt: skip
    made.add_argument("--clip", nargs=2, type=in_range(int, 1), metavar=("T", "SIDE"),
                      help="frames and pixels; default: the config's (test crop for counting "
                      "and testing, training crop for training)")  # fmt: skip
    made.add_argument("--batch", type=in_range(int, 1), default=1,
                      help="clips in each measurement (1)")  # fmt: skip
    depth = made.add_mutually_exclusive_group()
    depth.add_argument("--blocks", action="store_true", default=None,
                       help=f"a line per residual block, even if more than {SHORT}")  # fmt: skip
    depth.add_argument("--stages", dest="blocks", action="store_false", default=None,
                       help="only stages; JSON and CSV always have all lines")  # fmt: skip
    made.add_argument("--no-measure", dest="measure", action="store_false",
                      help="only count: a second or two for any network")  # fmt: skip
    made.add_argument("--seconds", type=in_range(float, 0), default=1.0,
                      help="seconds for each of up to six measurements (1)")  # fmt: skip
    made.add_argument("--device", default="cpu", help="cpu (default), cuda or cuda:N")
    made.add_argument("--threads", type=in_range(int, 1),
                      help="threads of torch; default: the cores, or OMP_NUM_THREADS")  # fmt: skip
    made.add_argument("--json", type=Path, metavar="FILE", help="write everything to this file")
    made.add_argument("--csv", type=Path, metavar="FILE", help="write the lines to this file")
    return made


def is_config(network: list[str]) -> bool:
    """Whether these are options of video-gc train, not a name or a path."""
    return len(network) != 1 or "=" in network[0]


def chosen(network: list[str], configs: Sequence[Path]) -> "tuple[ModelConfig, ClipConfig]":
    """The network and clips given by the arguments."""
    if not is_config(network):
        from video_gc.analysis.cost.network_cost import described_network

        return described_network(network[0])
    from video_gc.config import compose_train
    from video_gc.data.generated.tasks import TASKS

    config = compose_train(network, configs)
    model = config.model
    if model.num_classes is None and config.data.kind == "motions":
        model = replace(model, num_classes=len(TASKS[config.data.task]))
    return model, config.clip


if __name__ == "__main__":
    run_tool(main)
