"""The result of a check or a resize: a table, and advice on what to do next."""

from collections import Counter, defaultdict
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
from rich.table import Table

from video_gc.data.prepare.check import CheckResult
from video_gc.data.prepare.feeding import (
    MULTIPLY_ADDS,
    NETWORK,
    SHARE,
    cores_needed,
    trained_clips,
)
from video_gc.data.prepare.jobs import ResizeConfig
from video_gc.data.prepare.leaks import source_id
from video_gc.data.prepare.resize import ResizeResult
from video_gc.progress import console, counted, say


def show_summary(result: CheckResult) -> None:
    """Print counts, hours, sizes, codecs, classes, the paths of the lists, and advice."""
    table = result.manifest.table
    console.print(_facts_table(table, result))
    for split, line in _classes(table):
        say(f"{split}: {line}")
    for file in result.files:
        say(f"Listed in {file}")
    for line in advice(result):
        say(line)


def show_resize(result: ResizeResult, target: Path) -> None:
    """Print counts, and if videos were written, sizes and reading speed before and after."""
    written = counted(result.done, "video")
    say(f"{written} written to {target}, {result.kept:,} kept; sound is dropped")
    if result.done:
        shown = Table("", "before", "after", box=None)
        both = (result.before, result.after)
        shown.add_row("MiB", *(f"{speed.bytes / 2**20:,.1f}" for speed in both))
        times = ["–" if speed.clip_ms is None else f"{speed.clip_ms:,.1f}" for speed in both]
        shown.add_row("ms for a random 8×8 clip, one core", *times)
        console.print(shown)
    if result.before.clip_ms and result.after.clip_ms:
        for line in feeding_lines(result.before.clip_ms, result.after.clip_ms):
            say(line)
    if (result.after.clip_ms or 0) > (result.before.clip_ms or float("inf")):
        say("These copies are no faster to read: the originals are small already.", style="yellow")
    if result.renamed:
        say(f"{result.renamed:,} names now end in .mp4: change them in your lists.")
    if result.failures:
        say(f"Not written: {result.failed:,}, listed in {result.failures}", style="red")


def feeding_lines(before_ms: float, after_ms: float) -> list[str]:
    """What the milliseconds of a core for a clip, of originals and of copies, mean for a GPU."""
    rate = trained_clips(MULTIPLY_ADDS)
    before, after = (f"{1000 / ms:,.0f}" for ms in (before_ms, after_ms))
    originals, copies = (cores_needed(ms, rate) for ms in (before_ms, after_ms))
    return [
        f"A core reads {after} clips a second of the copies, {before} of the originals.",
        f"A GPU like an H100 trains {NETWORK} on {rate:,.0f} a second (assumed: "
        f"{100 * SHARE:.0f} % of its peak): {copies:,} cores feed it from the copies, "
        f"{originals:,} from the originals; see docs/feeding.md.",
    ]


def advice(result: CheckResult) -> list[str]:
    """Advice, one line for each problem found."""
    lines = []
    broken = sum(result.statuses[name] for name in ("damaged", "no-video", "short"))
    if broken:
        lines.append(f"Damaged videos: {broken}. Fetch them again, or let training leave them out.")
    if result.statuses["missing"]:
        lines.append(f"Missing videos: {result.statuses['missing']}. Fetch them, then check again.")
    if result.leaks:
        lines.append(
            f"Leaks between splits: {len(result.leaks)}. They make scores too high: remove one "
            "video of each pair, preferably from training."
        )
    lines += _single_groups(result.manifest.table) + _groups_in_names(result.manifest.table)
    if result.duplicates:
        lines.append(f"Duplicated videos: {len(result.duplicates)}.")
    spacing = result.manifest.table["keyframe_mean"]
    mean = pc.mean(spacing.filter(pc.greater(spacing, 0))).as_py()
    side = _middle_side(result.manifest.table)
    # copies of small pictures would be larger files: close key frames cost more than they save
    if mean and mean > 48 and side and side > ResizeConfig.short_side:
        lines.append(
            f"Key frames are {mean:.0f} frames apart and the short side is {side:.0f} pixels: "
            "video-gc prepare resize makes random clips of these videos cheaper to read."
        )
    if result.sound:
        lines.insert(0, "Every video can be read, and no split leaks into another.")
    return lines


def _middle_side(table: pa.Table) -> float | None:
    """Median of the short sides of the sound videos, pixels; None without any."""
    ok = table.filter(pc.equal(table["status"], "ok"))
    return pc.quantile(_short_sides(ok), 0.5)[0].as_py()


def _short_sides(table: pa.Table) -> pa.ChunkedArray:
    return pc.min_element_wise(table["width"], table["height"])


def _facts_table(table: pa.Table, result: CheckResult) -> Table:
    ok = table.filter(pc.equal(table["status"], "ok"))
    shown = Table(show_header=False, box=None)
    how = f"{result.decoded:,} decoded now"
    if result.carried:
        how += f", {result.carried:,} of an earlier check of other lists"
    rows: list[tuple[str, str]] = [("videos", f"{sum(result.statuses.values()):,} ({how})")]
    rows += [(status, f"{number:,}") for status, number in result.statuses.items() if number]
    if len(ok):
        rows += [
            ("hours", f"{(pc.sum(ok['duration']).as_py() or 0) / 3600:,.2f}"),
            ("MiB", f"{pc.sum(ok['bytes']).as_py() / 2**20:,.1f}"),
            ("frames", _range(ok["frames"])),
            ("rate (Hz)", _range(ok["rate"])),
            ("short side", _range(_short_sides(ok))),
            ("key frames", f"every {_range(ok['keyframe_mean'])} frames"),
            ("codecs", ", ".join(f"{name} {n:,}" for name, n in _common(ok["codec"]))),
            ("sizes", ", ".join(f"{name} {n:,}" for name, n in _common(_sizes(ok)))),
        ]
    for row in rows:
        shown.add_row(*row)
    return shown


def _classes(table: pa.Table) -> list[tuple[str, str]]:
    """Split → number of its existing videos, classes, the smallest and largest class, groups."""
    table = table.filter(pc.not_equal(table["status"], "missing"))
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    videos: Counter[str] = Counter()
    groups: dict[str, set[str]] = defaultdict(set)
    rows = zip(*(table[name].to_pylist() for name in ("split", "label", "source")), strict=True)
    for split, label, source in rows:
        counts[split or "all"].update(label.split("|"))
        videos[split or "all"] += 1
        if source is not None:
            groups[split or "all"].add(source)
    lines = []
    for split, classes in counts.items():
        ranked = classes.most_common()
        (most, largest), (least, smallest) = ranked[0], ranked[-1]
        line = f"{counted(videos[split], 'video')}, {counted(len(classes), 'class')}"
        if len(classes) > 1 and smallest == largest:
            line += f", {largest:,} of each"
        elif len(classes) > 1:
            line += f", from {smallest:,} ({least or 'no class'}) to {largest:,} ({most})"
        if groups[split]:
            line += f", {counted(len(groups[split]), 'group')}"
        lines.append((split, line))
    return lines


def _single_groups(table: pa.Table) -> list[str]:
    """A warning if all videos of a class are of one group."""
    table = table.filter(pc.not_equal(table["status"], "missing"))
    groups: dict[str, set[str]] = defaultdict(set)
    rows = zip(*(table[name].to_pylist() for name in ("label", "source", "path")), strict=True)
    for label, source, path in rows:
        for name in filter(None, label.split("|")):
            groups[name].add(source or path)
    single = sorted(name for name, found in groups.items() if len(found) == 1)
    if not single or not pc.any(table["source"].is_valid()).as_py():
        return []
    shown = ", ".join(f"{name} ({next(iter(groups[name]))})" for name in single[:3])
    return [
        f"Classes with one group only: {len(single)}, such as {shown}. No split can have them in "
        "training and in test: add videos of other groups."
    ]


def _groups_in_names(table: pa.Table) -> list[str]:
    """Advice if only the names of videos that are not split yet show groups."""
    rows = zip(*(table[name].to_pylist() for name in ("split", "path", "source")), strict=True)
    found = {source for split, path, source in rows if not split and source == source_id(path)}
    found.discard(None)
    if not found:
        return []
    return [
        f"Names show {counted(len(found), 'group')}, such as {min(found)}. An automatic split "
        "keeps them together only if training is told: data.group=PATTERN, or a table's column "
        "`group`."
    ]


def _range(column: pa.ChunkedArray) -> str:
    low, high = pc.min(column).as_py(), pc.max(column).as_py()
    middle = pc.quantile(column, 0.5)[0].as_py()
    texts = [f"{value:,.2f}".rstrip("0").rstrip(".") for value in (low, middle, high)]
    return texts[0] if low == high else f"{texts[0]} … {texts[2]} (median {texts[1]})"


def _common(column: pa.ChunkedArray, most: int = 4) -> list[tuple[str, int]]:
    ranked = Counter(column.to_pylist()).most_common()
    rest = sum(number for _, number in ranked[most:])
    return ranked[:most] + ([("others", rest)] if rest else [])


def _sizes(table: pa.Table) -> pa.ChunkedArray:
    sides = [pc.cast(table[name], pa.string()) for name in ("width", "height")]
    return pc.binary_join_element_wise(*sides, "×")
