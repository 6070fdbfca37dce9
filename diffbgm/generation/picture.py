"""The picture of a piece: its piano roll over time, with the cuts of the video and its motion."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from diffbgm.files import atomic
from diffbgm.music.notes import STEPS_PER_BEAT, Notes

_INK, _NOTE, _CUT, _MOTION = "#1f2430", "#2f6f9f", "#c8553d", "#8a9a5b"


def draw_roll(
    notes: Notes, path: Path, tempo: float, cuts: Sequence[float], pace: np.ndarray | None, duration: float
) -> None:
    """Write a PNG: the notes over seconds, shot cuts as vertical lines, and the pace of the picture below them.

    notes: N notes; tempo: BPM; cuts: seconds; pace: (beats,) in [0, 1], if known; duration: seconds of the video.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.collections import PolyCollection
    from matplotlib.figure import Figure

    beat = 60.0 / tempo
    step = beat / STEPS_PER_BEAT
    figure = Figure(figsize=(min(24.0, max(8.0, duration * 0.4)), 4.2), dpi=110, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    roll, motion = figure.subplots(2, 1, sharex=True, height_ratios=[5, 1])
    left, right = notes.onset * step, (notes.onset + notes.duration) * step - 0.15 * step
    low, high = notes.pitch - 0.4, notes.pitch + 0.4
    corners = np.stack([[left, low], [right, low], [right, high], [left, high]]).transpose(2, 0, 1)
    roll.add_collection(PolyCollection(list(corners), facecolors=_NOTE, edgecolors="none"))
    lowest, highest = (notes.pitch.min(), notes.pitch.max()) if len(notes) else (48, 84)
    roll.set(xlim=(0, duration), ylim=(min(lowest, 48) - 2, max(highest, 84) + 2), ylabel="pitch (C4 = 60)")
    roll.set_yticks(range(36, 97, 12), labels=["C2", "C3", "C4", "C5", "C6", "C7"])
    pace = np.zeros(0) if pace is None else pace
    motion.fill_between((np.arange(len(pace)) + 0.5) * beat, pace, color=_MOTION, alpha=0.6, linewidth=0)
    motion.set(ylim=(0, 1), yticks=[], ylabel="motion", xlabel="seconds (red: cuts)")
    for axis in (roll, motion):
        axis.spines[["top", "right"]].set_visible(False)
        for cut in cuts:
            axis.axvline(cut, color=_CUT, linewidth=0.9, alpha=0.8)
    with atomic(path) as temporary:
        canvas.print_png(temporary)  # the same bytes as by savefig, which draws the figure twice
