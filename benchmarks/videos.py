"""Videos of any length and size for the benchmarks, out of a demo video (`diffbgm fetch demo`)."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from benchmarks.harness import ROOT

DEMO = ROOT / "data" / "demo"


def scaled(source: Path, target: Path, size: tuple[int, int]) -> Path:
    """The video encoded at another size, without sound."""
    with av.open(str(source)) as reader, av.open(str(target), "w") as writer:
        stream = writer.add_stream("libx264", rate=Fraction(25), options={"preset": "ultrafast", "crf": "23"})
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        for index, frame in enumerate(reader.decode(video=0)):
            picture = frame.reformat(*size, format="yuv420p")
            picture.pts, picture.time_base = index, Fraction(1, 25)
            writer.mux(stream.encode(picture))
        writer.mux(stream.encode(None))
    return target


def repeated(source: Path, target: Path, seconds: float) -> Path:
    """The video's packets again and again until `seconds` are full: long videos in no time."""
    with av.open(str(source)) as reader, av.open(str(target), "w") as writer:
        template = reader.streams.video[0]
        stream = writer.add_stream_from_template(template)
        packets: list[Any] = [packet for packet in reader.demux(template) if packet.size]
        length = max(packet.pts + (packet.duration or 0) for packet in packets)
        base = packets[0].time_base
        for turn in range(round(seconds / float(length * base))):
            for packet in packets:
                copy = av.Packet(bytes(packet))
                copy.pts, copy.dts = packet.pts + turn * length, packet.dts + turn * length
                copy.time_base, copy.is_keyframe, copy.stream = base, packet.is_keyframe, stream
                copy.duration = packet.duration
                writer.mux(copy)
    return target
