"""Composing: a checkpoint and the condition features of whole pieces in, piano rolls and notes out. No files.

    composer = Composer(load_checkpoint(path), sampler, settings, device)
    for progress in composer.compose([Request(beat_features, seed=(0,))]): ...
    notes = composer.notes(progress.rolls[0])

Shape legend: N beats of a piece, K windows of 32 beats, L = 4 N steps, P pitches, Dv and Dl widths of the features.
"""

import copy
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from diffbgm.datasets.batch import Condition
from diffbgm.diffusion.inpainting import Known
from diffbgm.diffusion.longform import METHODS, Job, Plan, Progress, chunked, plan
from diffbgm.diffusion.objective import build_objective
from diffbgm.diffusion.samplers import Sampler, sample_number, stored_sampler
from diffbgm.diffusion.schedule import sqrt_linear
from diffbgm.errors import InputError
from diffbgm.generation.form import (
    FREE,
    Section,
    check_form,
    common_theme,
    first_sections,
    laid_out,
    sections,
    theme_of,
)
from diffbgm.generation.settings import ComposeSettings
from diffbgm.models.checkpoint import Checkpoint
from diffbgm.models.conditioner import Encoded
from diffbgm.models.denoiser import Denoiser
from diffbgm.models.network import DiffBGM
from diffbgm.music.notes import BEATS_PER_SEGMENT, STEPS_PER_BEAT, STEPS_PER_SEGMENT, Notes
from diffbgm.music.parts import decode_parts, merged
from diffbgm.music.theme import THEME_WIDTH
from diffbgm.video.features import BeatFeatures
from diffbgm.video.windows import dynamic_windows

LONGFORM = "joint"  # where nothing else is said
SKETCH = 1_000_003  # tells the noise of a section's sketch from that of the piece's windows


@dataclass(frozen=True)
class Request:
    """One piece to compose."""

    beats: BeatFeatures
    seed: tuple[int, ...]  # the piece's noise depends on this alone
    known: Known | None = None  # music to keep: roll and mask (C, L, P)

    def section(self, part: Section) -> "Request":
        """One section of it as a piece of its own."""
        return Request(self.beats[part.span], (*self.seed, SKETCH, part.beat), self._known(part))

    def holds(self, part: Section) -> bool:
        """Whether some of the music to keep lies in a section."""
        known = self._known(part)
        return known is not None and bool(known.mask.any())

    def _known(self, part: Section) -> Known | None:
        steps = slice(part.beat * STEPS_PER_BEAT, part.span.stop * STEPS_PER_BEAT)
        return None if self.known is None else self.known.cut(steps)


class Composer:
    """A checkpoint with everything that does not change from piece to piece."""

    def __init__(
        self,
        checkpoint: Checkpoint,
        sampler: Sampler | None,
        settings: ComposeSettings,
        device: torch.device,
        dtype: torch.dtype | None = None,
        compile: bool = False,
    ) -> None:
        """`sampler`: None for the checkpoint's own; `dtype`: the autocast type of the network's arithmetic, None for
        float32; `compile`: by torch.compile."""
        self.config, self.device, self.dtype = checkpoint.config, device, dtype
        network = checkpoint.network.to(device).to(memory_format=torch.channels_last)
        self.network: DiffBGM = torch.compile(network) if compile else network  # type: ignore[assignment]
        self._ask(settings, stored_sampler(self.config.sampling.sampler) if sampler is None else sampler)

    def asked(self, settings: ComposeSettings, sampler: Sampler | None = None) -> "Composer":
        """The same network, asked in another way."""
        other = copy.copy(self)
        other._ask(settings, self.sampler if sampler is None else sampler)
        return other

    def to(self, device: torch.device, dtype: torch.dtype | None = None) -> "Composer":
        """The same on another device, in the autocast type `dtype` there; the network itself moves."""
        other = copy.copy(self)
        other.device, other.dtype = device, dtype
        other.network = self.network.to(device)
        return other

    def weights(self) -> dict[str, Tensor]:
        """The network's parameters by name, as a checkpoint has them."""
        return getattr(self.network, "_orig_mod", self.network).state_dict()

    def _ask(self, settings: ComposeSettings, sampler: Sampler) -> None:
        """Take settings on, with the checkpoint's own where they leave it open; InputError where they do not fit it."""
        config, themes = self.config, self.network.theme_condition
        defaults = config.sampling
        usual = defaults.form if themes else FREE
        self.settings = replace(
            settings,
            guidance=_first(settings.guidance, sampler.guidance, defaults.guidance),
            longform=_first(settings.longform, sampler.longform, LONGFORM),
            threshold=defaults.threshold if settings.threshold is None else settings.threshold,
            window=config.window if settings.window is None else settings.window,
            temperature=defaults.temperature if settings.temperature is None else settings.temperature,
            form=usual if settings.form is None else settings.form,
        )
        check_form(self.form)
        if self.form != FREE and not themes:
            raise InputError(
                f"form={self.form} needs a network with theme_condition, which this is not; give form={FREE}"
            )
        self.sampler = sampler
        self.schedule = sqrt_linear(**vars(config.schedule))
        sampler.timesteps(self.schedule)  # refuses what the schedule does not have, before any work
        self.objective = build_objective(config.objective, self.schedule, self.settings.temperature)

    def compose(self, requests: Sequence[Request]) -> Iterator[Progress]:
        """Generate all pieces together, a step at a time; the last yielded rolls are the music.

        Where the pieces have a form, the steps of the sketches of their sections come first.
        """
        themes = yield from self._themes(requests)
        yield from self._together(requests, themes, self.longform)

    def _together(
        self, requests: Sequence[Request], themes: Sequence[np.ndarray | None], longform: str
    ) -> Iterator[Progress]:
        """Pieces with themes (N, 16) of their beats, all or none."""
        pieces, parts = [], []
        for request, theme in zip(requests, themes, strict=True):
            piece_plan = plan(STEPS_PER_BEAT * len(request.beats.visual), longform, self.network.planes)
            pieces.append(Job(piece_plan, request.seed, request.known))
            parts.append(self._encode(request.beats, piece_plan, theme))
        yield from self._generate(Encoded.concatenate(parts), pieces, longform)

    def _themes(self, requests: Sequence[Request]) -> Generator[Progress, None, list[np.ndarray | None]]:
        """The theme of each beat (N, 16) of every piece; None where none has a form.

        The first section is sketched freely, those of other letters in its key and groove.
        """
        parts = [self._sections(request) for request in requests]
        if not any(parts):
            return [None] * len(requests)
        themes: list[dict[str, np.ndarray]] = [{} for _ in requests]
        keys: dict[int, np.ndarray] = {}
        for chosen in (slice(1), slice(1, None)):
            wanted = [(index, part) for index, own in enumerate(parts) for part in first_sections(own)[chosen]]
            if not wanted:
                break
            told = [keys.get(index, np.zeros((BEATS_PER_SEGMENT, THEME_WIDTH), np.float32)) for index, _ in wanted]
            for progress in self._together([requests[i].section(part) for i, part in wanted], told, "independent"):
                yield replace(progress, sketch=True)
            for (index, part), roll in zip(wanted, progress.rolls, strict=True):
                cells = self._cells(roll)
                themes[index][part.letter] = theme_of(cells)
                keys.setdefault(index, common_theme(cells))
        return [
            laid_out([part for part in own if not request.holds(part)], theme, len(request.beats.visual))
            for request, own, theme in zip(requests, parts, themes, strict=True)
        ]

    def _sections(self, request: Request) -> list[Section]:
        """The sections of a piece; none where one window holds it, or where all of them hold music to keep."""
        beats = len(request.beats.visual)
        own = sections(self.form, beats) if beats > BEATS_PER_SEGMENT else []
        return own if not all(map(request.holds, own)) else []

    @property
    def longform(self) -> str:
        """How windows become a piece."""
        assert self.settings.longform is not None
        return self.settings.longform

    @property
    def tempo(self) -> float | None:
        """The tempo in BPM that the sampler is published with; None where it names none."""
        return self.sampler.tempo

    @property
    def form(self) -> str:
        """The form of every piece."""
        assert self.settings.form is not None
        return self.settings.form

    def segments(self, condition: Condition, seeds: Sequence[tuple[int, ...]]) -> Iterator[Progress]:
        """Single segments of 8 bars, one for each row of a condition (B, 32, ...), with a seed each."""
        with torch.no_grad():
            encoded = self.network.encode(condition.to(self.device))
        pieces = [Job(plan(STEPS_PER_SEGMENT, "independent", self.network.planes), seed) for seed in seeds]
        yield from self._generate(encoded, pieces, "independent")

    def _generate(self, encoded: Encoded, pieces: Sequence[Job], longform: str) -> Iterator[Progress]:
        assert self.settings.guidance is not None
        if self.settings.modality != "both":
            left_out = "visual" if self.settings.modality == "language" else "language"
            encoded = self.network.conditioner.without(encoded, left_out)
        numbers = [sample_number((*piece.seed, k)) for piece in pieces for k in range(piece.plan.count)]
        encoded = replace(encoded, draw=torch.tensor(numbers, device=encoded.visual.device))
        denoise = Denoiser(self.network, self.objective).conditioned(encoded, self.settings.guidance, dtype=self.dtype)
        options = {"threshold": self.settings.threshold} if longform == "outpaint" else {}
        rows = chunked(denoise, self.settings.rows)
        yield from METHODS[longform](rows, pieces, self.sampler, self.schedule, self.device, **options)

    def calls(self, request: Request) -> int:
        """How many times `compose` will yield for a request on its own."""
        windows = plan(STEPS_PER_BEAT * len(request.beats.visual), self.longform).count
        letters = len({part.letter for part in self._sections(request)})
        walks = min(letters, 2) + (windows if self.longform == "outpaint" else 1)
        return len(self.sampler.timesteps(self.schedule)) * walks

    def notes(self, roll: Tensor) -> Notes:
        """The notes of a finished roll (C, L, P); of four planes with lead or accompaniment as their track."""
        assert self.settings.threshold is not None
        if not bool(torch.isfinite(roll).all()):
            raise InputError("the network gave numbers that are not finite; use another checkpoint= or precision=fp32")
        return decode_parts(roll.float().cpu().numpy(), self.settings.threshold)

    def _cells(self, roll: Tensor) -> np.ndarray:
        """A section's finished roll as 0 and 1 (2, 128, P), filled up with silence."""
        cells = merged((roll.float().cpu().numpy() > self.settings.threshold).astype(np.float32))
        return np.pad(cells, [(0, 0), (0, STEPS_PER_SEGMENT - cells.shape[1]), (0, 0)])

    @torch.no_grad()
    def _encode(self, beats: BeatFeatures, piece_plan: Plan, theme: np.ndarray | None) -> Encoded:
        starts = np.array([start // STEPS_PER_BEAT for start in piece_plan.starts])
        if self.settings.window == "dynamic":
            window = dynamic_windows(beats.cut, starts)
        else:
            window = np.full(len(starts), self.settings.window)
        condition = cut_condition(beats, starts, window, theme)
        return self.network.encode(condition.to(self.device))


def _first(*choices: Any) -> Any:
    """The first choice that is not None; None where all are."""
    return next((choice for choice in choices if choice is not None), None)


def cut_condition(
    beats: BeatFeatures, starts: np.ndarray, window: np.ndarray, theme: np.ndarray | None = None
) -> Condition:
    """The features of N beats cut into K windows of 32 beats that begin at `starts` (K,); past the end not valid.

    `window` (K,): beats per attention window; `theme` (N, 16).
    """
    total = starts.max() + BEATS_PER_SEGMENT
    index = starts[:, None] + np.arange(BEATS_PER_SEGMENT)

    def padded(array: np.ndarray) -> Tensor:
        room = np.zeros((max(total, len(array)), *array.shape[1:]), array.dtype)
        room[: len(array)] = array
        return torch.from_numpy(room[index])

    return Condition(
        padded(beats.visual),
        padded(beats.language),
        padded(beats.valid),
        torch.from_numpy(window),
        None if theme is None else padded(theme),
    )
