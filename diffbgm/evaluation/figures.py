"""The figures of the paper's supplement: volume and accents while denoising (S3), ADV over denoising (S4), scape plots.

The states come from `sample.py keep_states=[1000,400,0]`, which writes NAME.states.npz next to NAME.mid. It holds the
timesteps t (n,) and, for each, the noisy roll x_t as x (n, C, S, P) and the clean roll predicted from it as x0
(n, C, S, P). The paper's figures show x_t, thresholded ("the t = 1000 image indicates the sampled noise"); the same
figures of x0 are drawn in addition.

Shape legend: n timesteps, C channels, S sixteenth steps, P pitches.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from diffbgm.errors import InputError
from diffbgm.evaluation.report import Evaluation
from diffbgm.evaluation.rhythm import USUAL, AdvSettings, accent_distance_variance, accents, volume
from diffbgm.evaluation.songs import find_songs
from diffbgm.evaluation.structure import FRAME_RATE, fitness_of_midi
from diffbgm.files import atomic
from diffbgm.music.notes import STEPS_PER_BEAT
from diffbgm.music.parts import PLANES, decode_parts

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INK, ACCENT, REAL = "#1f3b57", "#c8452f", "#3f7d4e"
SWITCH = 200  # the timestep at which the conditions change
PANELS = (1000, 400, 0)  # timesteps of Figure S3
SHOWN = {"x": "", "x0": "_x0"}  # array that is drawn -> suffix of the file names


@dataclass(frozen=True)
class KeptStates:
    """A piece at n timesteps of its denoising, from noise to music."""

    name: str
    t: np.ndarray  # (n,) timesteps, decreasing
    x: np.ndarray  # (n, C, S, P) x_t
    x0: np.ndarray  # (n, C, S, P) predicted from x_t

    @classmethod
    def load(cls, path: str | Path) -> "KeptStates":
        """Read NAME.states.npz. Raises InputError if it is not a file of saved states."""
        from diffbgm.datasets.unpickle import load_npz  # with torch, which figures of metrics do without

        path = Path(path)
        try:
            arrays = load_npz(path)
            t, x, x0 = (arrays[name] for name in ("t", "x", "x0"))
            if any(array.dtype.kind not in "fiu" for array in (t, x, x0)):
                raise ValueError("not numbers")
        except (InputError, KeyError, ValueError) as error:
            raise InputError(
                f"{path} is not a complete file of denoising states; make it again with sample.py keep_states=[...]"
            ) from error
        if x.ndim != 4 or t.shape != (len(x),) or x.shape != x0.shape or x.shape[1] not in PLANES or x.shape[3] != 128:
            shapes = f"{t.shape}, {x.shape} and {x0.shape}"
            raise InputError(f"{path} holds t, x and x0 of shapes {shapes}; expected (n,) and 2 x (n, 2, steps, 128)")
        order = np.argsort(-t)
        return cls(path.name.removesuffix(".states.npz"), t[order], x[order], x0[order])

    def nearest(self, wishes: Sequence[int]) -> "KeptStates":
        """The states nearest to some timesteps, each once."""
        places = sorted({int(np.abs(self.t - wish).argmin()) for wish in wishes})
        return KeptStates(self.name, self.t[places], self.x[places], self.x0[places])

    def curves(self, which: str = "x") -> list[np.ndarray]:
        """The volume curve (S,) at each timestep, of the notes where x (or "x0") exceeds the threshold of 0.5."""
        return [volume(decode_parts(roll), roll.shape[1]) for roll in getattr(self, which)]


def draw_figures(
    folder: Path,
    evaluation: Evaluation,
    out: Path,
    songs: int,
    soundfont: str | None = None,
    adv: AdvSettings = USUAL,
) -> list[str]:
    """Draw the figures of a run into the folder `out`.

    volume_NAME.png and scape_NAME.png are drawn for the first `songs` songs, adv.png for all of them. volume_NAME.png
    has a panel for each saved state nearest to t = 1000, 400 and 0; adv.png uses every saved state. volume_NAME_x0.png
    and adv_x0.png show the predicted rolls. Without saved states only the scape plots are drawn. Returns one sentence
    for each file of states that could not be read.
    """
    lacking = []
    pieces = []
    for path in sorted(folder.glob("*.states.npz")):
        try:
            pieces.append(KeptStates.load(path))
        except InputError as error:
            lacking.append(str(error))
    for which, suffix in SHOWN.items():
        for states in pieces[:songs]:
            volume_figure(states.nearest(PANELS), out / f"volume_{_file(states.name)}{suffix}.png", which, adv)
        if pieces:
            known = (evaluation.reference or {}).get("adv", {}).get("mean")
            adv_figure(pieces, {} if known is None else {"real": known}, out / f"adv{suffix}.png", which, adv)
    measured = [row.song for row in evaluation.rows if row.values.get("si_3") is not None]
    paths = {song.name: song.path for song in find_songs(folder)}
    for name in measured[:songs]:
        fitness = fitness_of_midi(paths[name], soundfont)
        assert fitness is not None, f"{name} had an SI and has no scape plot"
        scape_figure(fitness, name, out / f"scape_{_file(name)}.png")
    return lacking


def volume_figure(states: KeptStates, path: Path, which: str = "x", adv: AdvSettings = USUAL) -> None:
    """Figure S3: one panel per timestep with the volume over time and its accents, of x_t ("x") or "x0"."""
    figure = new_figure(7.0, 1.35 * len(states.t) + 0.5)
    panels = figure.subplots(len(states.t), 1, sharex=True, squeeze=False)[:, 0]
    for panel, t, curve in zip(panels, states.t, states.curves(which), strict=True):
        at = np.arange(len(curve)) / STEPS_PER_BEAT
        marked = accents(curve, adv.segments)
        panel.fill_between(at, curve, color=INK, alpha=0.15, linewidth=0)
        panel.plot(at, curve, color=INK, linewidth=0.8)
        panel.plot(at[marked], curve[marked], "v", color=ACCENT, markersize=4, label="accent")
        panel.set_ylim(0, 1.3 * max(float(curve.max(initial=0)), 1e-3))  # room for the legend
        panel.set_xlim(0, len(curve) / STEPS_PER_BEAT)
        number = accent_distance_variance(marked, adv)
        title = f"t = {t}, {len(marked)} accents"
        panel.set_title(title if number is None else f"{title}, ADV {number:.3f}", loc="left", fontsize=9)
    panels[0].legend(loc="upper right", fontsize=8, frameon=False)
    panels[-1].set_xlabel("beat")
    figure.supylabel("volume", fontsize=9)
    save(figure, path)


def adv_figure(
    pieces: Sequence[KeptStates], real: Mapping[str, float], path: Path, which: str = "x", adv: AdvSettings = USUAL
) -> None:
    """Figure S4: mean ADV of all pieces at each timestep, of x_t ("x") or "x0"; `real` (label -> ADV) adds lines."""
    by_time: dict[int, list[float]] = {}
    for states in pieces:
        for t, curve in zip(states.t.tolist(), states.curves(which), strict=True):
            number = accent_distance_variance(accents(curve, adv.segments), adv)
            if number is not None:
                by_time.setdefault(int(t), []).append(number)
    times = sorted(by_time, reverse=True)
    means = np.array([np.mean(by_time[t]) for t in times])
    errors = np.array(
        [np.std(by_time[t], ddof=1) / len(by_time[t]) ** 0.5 if len(by_time[t]) > 1 else 0 for t in times]
    )
    figure = new_figure(5.2, 3.2)
    axes = figure.subplots()
    axes.fill_between(times, means - 1.96 * errors, means + 1.96 * errors, color=INK, alpha=0.15, linewidth=0)
    axes.plot(times, means, "o-", color=INK, markersize=4, linewidth=1.2, label=f"generated (n = {len(pieces)})")
    for style, (label, number) in zip(("--", ":"), real.items(), strict=False):
        axes.axhline(number, color=REAL, linestyle=style, linewidth=1.2, label=label)
    axes.axvline(SWITCH, color="0.5", linestyle="-.", linewidth=0.8)
    axes.annotate("t = 200", (SWITCH, 1), xycoords=("data", "axes fraction"), xytext=(3, -10), fontsize=8,
                  textcoords="offset points", color="0.4")  # fmt: skip
    axes.invert_xaxis()
    axes.set_ylim(0, 1.2 * max(axes.get_ylim()[1], 1e-3))  # room for the legend
    axes.set_xlabel("timestep t" if which == "x" else "timestep t (predicted clean roll)")
    axes.set_ylabel("accent-distance variance")
    axes.legend(fontsize=8, frameon=False)
    save(figure, path)


def scape_figure(fitness: np.ndarray, name: str, path: Path) -> None:
    """Draw the fitness scape plot (F, F): how well the segment of each centre and length is repeated in the piece."""
    frames = len(fitness)
    picture = np.full((frames, 2 * frames), np.nan)  # half frames across, so that every length is centred
    for row in range(frames):
        for half in (0, 1):
            picture[row, row + half : row + half + 2 * (frames - row) : 2][: frames - row] = fitness[
                row, : frames - row
            ]
    figure = new_figure(4.6, 3.6)
    axes = figure.subplots()
    seconds = frames / FRAME_RATE
    image = axes.imshow(
        picture, origin="lower", aspect="auto", extent=(0, seconds, 0, seconds), cmap="magma_r", vmin=0,
        interpolation="nearest",
    )  # fmt: skip
    axes.set_title(name, fontsize=9)
    axes.set_xlabel("centre of the segment [s]")
    axes.set_ylabel("length of the segment [s]")
    axes.spines[["right", "top"]].set_visible(False)
    figure.colorbar(image, ax=axes, label="fitness")
    save(figure, path)


def _file(name: str) -> str:
    """A song's name as part of a file name."""
    return name.replace("/", ".")


def new_figure(width: float, height: float) -> "Figure":
    """A figure outside of pyplot's global state."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=160, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def save(figure: "Figure", path: Path) -> None:
    """Write a figure with small tick labels."""
    for axes in figure.axes:
        axes.tick_params(labelsize=8)
    with atomic(path) as temporary:
        figure.savefig(temporary)
