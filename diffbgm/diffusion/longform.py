"""Pieces of any length from a network that generates windows of eight bars.

    independent   all windows in one batch, each on its own
    outpaint      one window after the other; the overlap with the previous one is known and inpainted
    joint         all windows at once on one shared noise field; their predictions are blended where they overlap

All three are generators over `denoise(x (R, C, W, P), t (R,), rows (R,)) -> eps`, where `rows` numbers the windows of
all pieces consecutively, so that several pieces share a batch. They yield `Progress` at every step; the rolls of the
last one are the music. The noise of a piece depends only on its own seed.

Shape legend: R rows of one call, C planes, W steps of a window, L steps of a padded piece, P pitches.
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

Calls = Callable[[Callable[[int], Tensor], Sequence[int]], Iterable[Tensor]]  # `map`, or a parallel version of it
RowDenoise = Callable[[Tensor, Tensor, Tensor], Tensor]  # x (R, C, W, P), t (R,), rows (R,) -> eps (R, C, W, P)


@dataclass(frozen=True)
class Plan:
    """How windows cover a piece: window k holds steps [k hop, k hop + window)."""

    total: int  # steps of the piece
    hop: int  # steps from a window to the next
    window: int = STEPS_PER_SEGMENT
    planes: int = 2  # C: onset and sustain, of all notes or of each part

    @property
    def count(self) -> int:
        """The number of windows that cover the piece, at least one."""
        return 1 + max(0, math.ceil((self.total - self.window) / self.hop))

    @property
    def length(self) -> int:
        """Steps covered by the windows; those beyond `total` are generated and cut off."""
        return self.hop * (self.count - 1) + self.window

    @property
    def starts(self) -> range:
        """First step of each window."""
        return range(0, self.hop * self.count, self.hop)


@dataclass(frozen=True)
class Job:
    """What to generate: a plan, the seed of its noise, and music to keep, if any."""

    plan: Plan
    seed: tuple[int, ...]
    known: Known | None = None  # roll and mask (C, total, P)


@dataclass(frozen=True)
class Progress:
    """The state of generation after one step for a set of windows."""

    step: int  # 0, 1, ... steps - 1
    steps: int
    t: int
    rolls: tuple[Tensor, ...]  # predicted x0 (C, total, P) of each piece; zeros that outpaint has not reached yet
    noisy: tuple[Tensor, ...] = ()  # x_t, the input of the network, in the form of `rolls`; empty for outpaint
    sketch: bool = False  # whether this is a sketch of a section rather than the piece itself


def plan(total: int, method: str, planes: int = 2) -> Plan:
    """The windows of a piece of `total` steps: eight bars each, overlapping by half or (independent) not at all.

    Raises InputError for an unknown method or a piece without steps.
    """
    if method not in HOPS:
        raise InputError(f"longform is {method!r}; give one of {', '.join(HOPS)}.")
    if total < 1:
        raise InputError(f"The piece has {total} steps; a piece needs at least 1.")
    return Plan(total, HOPS[method], planes=planes)


def chunked(denoise: RowDenoise, size: int, calls: Calls = map) -> RowDenoise:
    """`denoise` called with exactly `size` rows at a time; the last call is padded with copies of its last row.

    `size` bounds the memory, and because kernels see a single shape, the result of a row does not depend on the number
    of other rows. With size 1 this holds by construction; otherwise only if the kernels treat all positions in a batch
    the same way (those of the CPU do). `calls` runs the calls, sequentially or in parallel.
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
    """Generate every window on its own; window k has the noise of seed (*seed, k)."""
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
    """Generate window after window, each inpainted around its overlap with the previous one, for all pieces at once.

    A finished window is binarised at `threshold` (the one used for decoding), so that the next window continues from
    music and the final roll contains exactly what it continued from; None keeps the predicted values. Window k has the
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
    """Generate all windows on one noise field (C, L, P) per piece, of seed (*seed, 0), with blended predictions.

    This is MultiDiffusion (Bar-Tal et al. 2023, eq. 5) with a smooth weight: each step of the piece has a single x, so
    that neither notes nor noise have seams where windows begin.
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
    """Turn a denoise for windows into one for a field x (1, C, sum of L, P): whole pieces, concatenated in time.

    The eps of the windows are added with a raised-cosine weight, normalised to sum to 1 at every step (at the ends of
    a piece, where there is only one window, its weight is 1).
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
    asked = sampler.begin(first, schedule)  # the input of the network, one step behind the state's x
    for state in sampler(denoise, first, schedule, noise):
        yield state.step, state.t, known.kept(state.x0), asked
        asked = state.x


def _streams(
    seeds: Sequence[tuple[int, ...]], shape: Sequence[int], device: torch.device | str | None
) -> tuple[Noise, Noise]:
    """Two independent streams of noise: one for the sampler and, from (*seed, 1), one for the known music."""
    return SeededNoise(seeds, shape, device), SeededNoise([(*seed, 1) for seed in seeds], shape, device)


def _end_to_end(parts: Sequence[Noise]) -> Noise:
    """Noise of several fields (1, C, L, P), concatenated in time."""
    return lambda: torch.cat([part() for part in parts], dim=2)


def _at(denoise: RowDenoise, rows: Tensor) -> Denoise:
    """denoise for a fixed set of rows."""
    return lambda x, t: denoise(x, t, rows)


def _span(plan: Plan, k: int) -> slice:
    """The steps of window k."""
    return slice(plan.starts[k], plan.starts[k] + plan.window)


def _padded(piece: Job, device: torch.device | str | None) -> Known:
    """The known music of a piece, padded to (C, L, P); the roll is zero where nothing is known."""
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
