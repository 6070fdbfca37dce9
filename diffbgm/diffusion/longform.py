"""Pieces of any length from a network that generates windows of eight bars.

    independent   windows side by side, each on its own: one batch, no memory of what came before
    outpaint      one window after the other; the overlap with the one before is known and inpainted
    joint         all windows at once on one shared noise field; where they overlap their predictions are blended

All three are generators over `denoise(x (R, C, W, P), t (R,), rows (R,)) -> eps`, in which rows says which window each
of the R belongs to, counted through all windows of all pieces; so several pieces share a batch. They yield
`Progress` at every step; the rolls of the last one are the music. Randomness depends on a piece's own seed alone.

Shape legend: R rows of one call, W steps of a window, L steps of a padded piece, P pitches.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from diffbgm.diffusion.inpainting import Known, inpainted
from diffbgm.diffusion.samplers import Denoise, Noise, Sampler, SeededNoise
from diffbgm.diffusion.schedule import Schedule
from diffbgm.errors import InputError
from diffbgm.music.notes import PITCHES, STEPS_PER_SEGMENT

HOPS = {"independent": STEPS_PER_SEGMENT, "outpaint": STEPS_PER_SEGMENT // 2, "joint": STEPS_PER_SEGMENT // 2}

Calls = Callable[[Callable[[int], Tensor], Sequence[int]], Iterable[Tensor]]  # as `map` is
RowDenoise = Callable[[Tensor, Tensor, Tensor], Tensor]  # x (R, C, W, P), t (R,), rows (R,) -> eps (R, C, W, P)


@dataclass(frozen=True)
class Plan:
    """How windows cover a piece: window k holds steps [k hop, k hop + window)."""

    total: int  # steps of the piece
    hop: int  # steps from a window to the next
    window: int = STEPS_PER_SEGMENT
    planes: int = 2  # C, onset and sustain, of all notes or of each part

    @property
    def count(self) -> int:
        """Windows that it takes to cover the piece, at least one."""
        return 1 + max(0, math.ceil((self.total - self.window) / self.hop))

    @property
    def length(self) -> int:
        """Steps covered; what lies beyond `total` is generated and cut off."""
        return self.hop * (self.count - 1) + self.window

    @property
    def starts(self) -> range:
        """First step of each window."""
        return range(0, self.hop * self.count, self.hop)


@dataclass(frozen=True)
class Job:
    """What to generate: a plan, the seed of its noise and, where music is given, the part to keep."""

    plan: Plan
    seed: tuple[int, ...]
    known: Known | None = None  # roll and mask (C, total, P)


@dataclass(frozen=True)
class Progress:
    """Where the generation stands after one call of the network for a set of windows."""

    step: int  # 0, 1, ... steps - 1
    steps: int
    t: int
    rolls: tuple[Tensor, ...]  # (C, total, P) for each piece; zeros where outpaint has not arrived yet
    noisy: tuple[Tensor, ...] = ()  # x_t, what the network was asked about, as `rolls`; none from outpaint
    sketch: bool = False  # of a section whose theme is wanted, before the piece itself


def plan(total: int, method: str, planes: int = 2) -> Plan:
    """The windows of a piece of `total` steps for a method: eight bars each, overlapping by half or (independent)
    not at all. InputError for an unknown method or a piece without steps."""
    if method not in HOPS:
        raise InputError(f"longform is {method!r}; give one of {', '.join(HOPS)}.")
    if total < 1:
        raise InputError(f"The piece has {total} steps; a piece needs at least 1.")
    return Plan(total, HOPS[method], planes=planes)


def chunked(denoise: RowDenoise, size: int, calls: Calls = map) -> RowDenoise:
    """The same denoise, asked for exactly `size` rows at a time, the last call filled up with copies of its last row.

    Memory is bounded by `size`, and because kernels see a single shape, a row's result does not depend on how many
    other rows there are. With size 1 this holds by construction; otherwise as far as the kernels treat all
    positions in a batch alike (those of the CPU do). `calls` makes the calls, one after the other or side by side.
    """

    def call(x: Tensor, t: Tensor, rows: Tensor) -> Tensor:
        def part(start: int) -> Tensor:
            index = torch.arange(start, start + size, device=x.device).clamp(max=len(x) - 1)
            return denoise(x[index], t[index], rows[index])[: len(x) - start]

        return torch.cat(list(calls(part, range(0, len(x), size))))

    return call


def independent(
    denoise: RowDenoise,
    pieces: Sequence[Job],
    sampler: Sampler,
    schedule: Schedule,
    device: torch.device | str | None = None,
) -> Iterator[Progress]:
    """Every window on its own, kept up to where the next one starts. Window k has the noise of seed (*seed, k)."""
    seeds = [(*piece.seed, k) for piece in pieces for k in range(piece.plan.count)]
    noise, fresh = _streams(seeds, (pieces[0].plan.planes, pieces[0].plan.window, PITCHES), device)
    rows = torch.arange(len(seeds), device=device)
    canvas = [_padded(piece, device) for piece in pieces]
    known = _gathered([_windows(part, piece.plan) for part, piece in zip(canvas, pieces, strict=True)], dim=0)
    counts = [piece.plan.count for piece in pieces]
    for step, t, x0, x in _walk(_at(denoise, rows), noise, fresh, known, sampler, schedule):
        rolls, noisy = (
            [_joined(part, piece.plan) for part, piece in zip(windows.split(counts), pieces, strict=True)]
            for windows in (x0, x)
        )
        yield Progress(step, sampler.steps, t, _cropped(rolls, pieces), _cropped(noisy, pieces))


def outpaint(
    denoise: RowDenoise,
    pieces: Sequence[Job],
    sampler: Sampler,
    schedule: Schedule,
    device: torch.device | str | None = None,
    threshold: float | None = 0.5,
) -> Iterator[Progress]:
    """Window after window, each with its overlap with the one before as known music; window k of all pieces at once.

    A finished window becomes a roll of 0 and 1 at `threshold` (the one it will be decoded with), so that the next one
    is shown music and the final roll holds exactly what was shown; None leaves it as predicted. Window k has the
    noise of seed (*seed, k).
    """
    first = [sum(piece.plan.count for piece in pieces[:index]) for index in range(len(pieces))]
    canvas = [_padded(piece, device) for piece in pieces]
    windows = max(piece.plan.count for piece in pieces)
    for k in range(windows):
        spans = {i: _span(piece.plan, k) for i, piece in enumerate(pieces) if k < piece.plan.count}
        known = _gathered([canvas[i].cut(span)[None] for i, span in spans.items()], dim=0)
        noise, fresh = _streams([(*pieces[i].seed, k) for i in spans], known.roll.shape[1:], device)
        rows = torch.tensor([first[i] + k for i in spans], device=device)
        for step, t, x0, _ in _walk(_at(denoise, rows), noise, fresh, known, sampler, schedule):
            if step == sampler.steps - 1 and threshold is not None:
                x0 = (x0 > threshold).to(x0.dtype)
            now = list(canvas)
            for (i, span), roll in zip(spans.items(), x0, strict=True):
                now[i] = canvas[i].filled(span, roll)
            done = k * sampler.steps + step
            yield Progress(done, windows * sampler.steps, t, _cropped([part.roll for part in now], pieces))
        canvas = now


def joint(
    denoise: RowDenoise,
    pieces: Sequence[Job],
    sampler: Sampler,
    schedule: Schedule,
    device: torch.device | str | None = None,
) -> Iterator[Progress]:
    """All windows on one noise field per piece, (C, L, P) of seed (*seed, 0); overlapping predictions are blended.

    MultiDiffusion (Bar-Tal et al. 2023, eq. 5) with a smooth weight: there is one x for every step of the piece, so
    that neither notes nor noise know where windows begin.
    """
    lengths = [piece.plan.length for piece in pieces]
    shapes = [(piece.plan.planes, piece.plan.length, PITCHES) for piece in pieces]
    streams = [_streams([(*piece.seed, 0)], shape, device) for piece, shape in zip(pieces, shapes, strict=True)]
    noise, fresh = (_end_to_end(parts) for parts in zip(*streams, strict=True))
    known = _gathered([_padded(piece, device)[None] for piece in pieces], dim=2)
    field_denoise = blended(denoise, [piece.plan for piece in pieces], device)
    for step, t, x0, x in _walk(field_denoise, noise, fresh, known, sampler, schedule):
        rolls, noisy = (_cropped(field[0].split(lengths, dim=1), pieces) for field in (x0, x))
        yield Progress(step, sampler.steps, t, rolls, noisy)


METHODS: dict[str, Callable[..., Iterator[Progress]]] = {
    "independent": independent,
    "outpaint": outpaint,
    "joint": joint,
}


def blended(denoise: RowDenoise, plans: Sequence[Plan], device: torch.device | str | None = None) -> Denoise:
    """A denoise for windows as one for a field x (1, C, sum of L, P) of whole pieces, laid end to end along the steps.

    Windows are cut from the field; their eps are added with a raised-cosine weight that is normalised to sum to one
    at every step (at the ends of a piece, where there is one window only, its weight is 1).
    """
    offsets = [sum(plan.length for plan in plans[:index]) for index in range(len(plans))]
    starts = torch.tensor(
        [offset + start for offset, plan in zip(offsets, plans, strict=True) for start in plan.starts]
    )
    steps = torch.arange(plans[0].window)
    index = starts[:, None] + steps  # (R, W) where in the field each step of each window lies
    bump = torch.sin(math.pi * (steps.double() + 0.5) / len(steps)) ** 2
    total = torch.zeros(sum(plan.length for plan in plans), dtype=torch.float64)
    total.index_add_(0, index.flatten(), bump.repeat(len(starts)))
    weight = (bump / total[index]).float()[:, None, :, None].to(device)  # (R, 1, W, 1)
    index, rows = index.to(device), torch.arange(len(starts), device=device)
    apart = math.ceil(plans[0].window / plans[0].hop)  # windows k and k + apart do not overlap

    def field_denoise(x: Tensor, t: Tensor) -> Tensor:
        windows = x[0][:, index].transpose(0, 1)  # (R, C, W, P)
        eps = weight * denoise(windows, t.expand(len(rows)), rows)
        mixed = torch.zeros_like(x[0])
        for group in range(apart):  # one add per cell and group: the same order, hence the same sum, on any device
            part = slice(group, None, apart)
            mixed[:, index[part].flatten()] += eps[part].transpose(0, 1).flatten(1, 2)
        return mixed[None]

    return field_denoise


def _walk(
    denoise: Denoise, noise: Noise, fresh: Noise, known: Known, sampler: Sampler, schedule: Schedule
) -> Iterator[tuple[int, int, Tensor, Tensor]]:
    """One walk of the sampler with the known part kept: step, t, x0 and x_t of each of its states."""
    if known.mask.any():
        denoise = inpainted(denoise, known, schedule, fresh)
    first = noise()
    asked = sampler.begin(first, schedule)  # what the network is asked about, a step behind the state's x
    for state in sampler(denoise, first, schedule, noise):
        yield state.step, state.t, known.kept(state.x0), asked
        asked = state.x


def _streams(
    seeds: Sequence[tuple[int, ...]], shape: Sequence[int], device: torch.device | str | None
) -> tuple[Noise, Noise]:
    """The noise of the walk and, from (*seed, 1), that of what is known: using the second leaves the first alone."""
    return SeededNoise(seeds, shape, device), SeededNoise([(*seed, 1) for seed in seeds], shape, device)


def _end_to_end(parts: Sequence[Noise]) -> Noise:
    """Noise of several fields (1, C, L, P), laid end to end along the steps."""
    return lambda: torch.cat([part() for part in parts], dim=2)


def _at(denoise: RowDenoise, rows: Tensor) -> Denoise:
    """denoise for a fixed set of rows."""
    return lambda x, t: denoise(x, t, rows)


def _span(plan: Plan, k: int) -> slice:
    """The steps of window k."""
    return slice(plan.starts[k], plan.starts[k] + plan.window)


def _padded(piece: Job, device: torch.device | str | None) -> Known:
    """What is known of a piece, (C, L, P): nothing where nothing was given, and zeros where nothing is known."""
    roll = torch.zeros(piece.plan.planes, piece.plan.length, PITCHES, device=device)
    mask = torch.zeros_like(roll, dtype=torch.bool)
    if piece.known is not None:
        mask[:, : piece.plan.total] = piece.known.mask.to(mask.device)
        roll[:, : piece.plan.total] = piece.known.roll.to(roll)
    return Known(roll * mask, mask)


def _windows(known: Known, plan: Plan) -> Known:
    """(C, L, P) -> (R, C, W, P), a row for each window of the plan."""
    return _gathered([known.cut(_span(plan, k))[None] for k in range(plan.count)], dim=0)


def _gathered(parts: Sequence[Known], dim: int) -> Known:
    """Several known parts as one, concatenated along a dimension."""
    return Known(torch.cat([part.roll for part in parts], dim), torch.cat([part.mask for part in parts], dim))


def _joined(windows: Tensor, plan: Plan) -> Tensor:
    """(R, C, W, P) -> (C, L, P), each window up to where the next one starts, the last one whole."""
    return torch.cat([*windows[:-1, :, : plan.hop], windows[-1]], dim=1)


def _cropped(rolls: Sequence[Tensor], pieces: Sequence[Job]) -> tuple[Tensor, ...]:
    """(C, L, P) -> (C, total, P) for each piece."""
    return tuple(roll[:, : piece.plan.total] for roll, piece in zip(rolls, pieces, strict=True))
