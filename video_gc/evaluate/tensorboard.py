"""A test's numbers and pictures for TensorBoard, as a run of its own beside the training's."""

import struct
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.record_writer import RecordWriter

from video_gc.outputs import output_path

EVENTS = "events.out.tfevents.test"
"""Name of the file; TensorBoard looks for the middle part."""
COLOURS = {2: 3, 6: 4}
"""Type of colour in PNG → Summary.Image: RGB, RGBA."""


def write_events(shares: Mapping[str, float], pictures: Iterable[Path], file: Path) -> Path:
    """Write shares in 0…1 and PNG pictures, each under its name."""
    values = [Summary.Value(tag=f"test/{name}", simple_value=one) for name, one in shares.items()]
    for picture in pictures:
        png = picture.read_bytes()
        width, height, _, colour = struct.unpack(">IIBB", png[16:26])  # the header follows its name
        image = Summary.Image(
            width=width, height=height, colorspace=COLOURS[colour], encoded_image_string=png
        )
        values.append(Summary.Value(tag=f"test/{picture.stem}", image=image))
    now = time.time()
    events = [
        Event(wall_time=now, file_version="brain.Event:2"),
        Event(wall_time=now, step=0, summary=Summary(value=values)),
    ]
    with output_path(file) as part, part.open("wb") as stream:
        writer = RecordWriter(stream)
        for event in events:
            writer.write(event.SerializeToString())
    return file
