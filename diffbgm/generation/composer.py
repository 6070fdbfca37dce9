"""Composing: a checkpoint and the condition features of whole pieces in, piano rolls and notes out. No files.

    composer = Composer(load_checkpoint(path), sampler, settings, device)
    for progress in composer.compose([Request(beat_features, seed=(0,))]): ...
    notes = composer.notes(progress.rolls[0])

Shape legend: N beats of a piece, K windows of 32 beats, L = 4 N steps, P pitches, Dv and Dl widths of the features.
"""

import copy
from collections.abc import Generator, Iterator, Mapping, Sequence
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
    AUTO,
    FREE,
    Section,
    check_form,
    common_theme,
    first_sections,
    laid_out,
    lettered,
    letters_of,
    references,
    sections,
    starts_at_cuts,
    theme_of,
)
from diffbgm.generation.harmony import HarmonyPlan, planned
from diffbgm.generation.settings import PLAN, ComposeSettings
from diffbgm.generation.threads import side_by_side
from diffbgm.generation.told import Told, all_told, cut_condition, in_chords
from diffbgm.models.checkpoint import Checkpoint
from diffbgm.models.conditioner import Encoded
from diffbgm.models.denoiser import Denoiser
from diffbgm.models.network import DiffBGM
from diffbgm.music.notes import BEATS_PER_SEGMENT, STEPS_PER_BEAT, STEPS_PER_SEGMENT, Notes
from diffbgm.music.parts import decode_parts, merged
from diffbgm.music.theme import THEME_WIDTH
from diffbgm.video.features import BeatFeatures
from diffbgm.video.steer import looks
from diffbgm.video.windows import dynamic_windows

LONGFORM = "joint"  # where nothing else is said
REPRISE = 0.7  # how like the first time sections of one letter are asked to be, unless said otherwise
SKETCH = 1_000_003  # tells the noise of a section's sketch from that of the piece's windows


@dataclass(frozen=True)
class Request:
    """One piece to compose."""

    beats: BeatFeatures
    seed: tuple[int, ...]  # the piece's noise depends on this alone
    known: Known | None = None  # music to keep: roll and mask (C, L, P)
    harmony: HarmonyPlan | None = None  # chords to be composed in

    def section(self, part: Section) -> "Request":
        """One section of it as a piece of its own; its chords are told by the piece."""
        return Request(self.beats[part.span], (*self.seed, SKETCH, part.beat), self._known(part))

    def chords(self) -> np.ndarray | None:
        """What the chords ask of every beat, (N, 12)."""
        return None if self.harmony is None else self.harmony.plane(len(self.beats.visual))

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
            reprise=REPRISE if settings.reprise is None and self.network.reference_condition else settings.reprise,
        )
        self._asked_form = settings.form
        check_form(self.form)
        if self.form != FREE and not themes:
            raise InputError(
                f"form={self.form} needs a network with theme_condition, which this is not; give form={FREE}"
            )
        if settings.harmony == PLAN and not themes:
            raise InputError(f"harmony={PLAN} needs a network with theme_condition, which this is not; leave it out")
        if settings.reprise is not None and not self.network.reference_condition:
            raise InputError(
                f"reprise={settings.reprise:g} needs a network with reference_condition, which this is not; "
                "leave it out"
            )
        self.sampler = sampler
        self.schedule = sqrt_linear(**vars(config.schedule))
        sampler.timesteps(self.schedule)  # refuses what the schedule does not have, before any work
        self.objective = build_objective(config.objective, self.schedule, self.settings.temperature)

    def compose(self, requests: Sequence[Request]) -> Iterator[Progress]:
        """Generate all pieces together, a step at a time; the last yielded rolls are the music.

        Where the pieces have a form, the steps of the sketches of their sections come first. InputError for a form with
        more letters than a piece has sections, and for chords that this network cannot be told.
        """
        requests = [replace(request, harmony=self.harmony(request)) for request in requests]
        sketches = yield from self._sketches(requests)
        yield from self._together(requests, self._told(requests, sketches), self.longform)

    def harmony(self, request: Request) -> HarmonyPlan | None:
        """The chords that a piece is composed in: its own, or, with harmony=plan, planned ones; None for neither."""
        if request.harmony is None and self.settings.harmony == PLAN:
            return planned(request.beats, request.seed, self.sections(request), None)
        if request.harmony is not None and not self.network.theme_condition:
            raise InputError("chords need a network with theme_condition, which this is not; leave chords= out")
        return request.harmony

    def sections(self, request: Request) -> list[Section]:
        """The sections of a piece; none where one window holds it, or where all of them hold music to keep.

        InputError where the form that was asked for has more letters than the piece has sections.
        """
        beats = len(request.beats.visual)
        own = self.sections_of(request.beats)
        if self._asked_form not in (None, FREE, AUTO) and len(self.form) > len(own):
            raise InputError(
                f"form={self.form} has {len(self.form)} letters, but the piece has {len(own)} sections of eight bars; "
                f"give {len(own)} at most, or form={FREE}"
            )
        return own if beats > BEATS_PER_SEGMENT and not all(map(request.holds, own)) else []

    def sections_of(self, beats: BeatFeatures) -> list[Section]:
        """The sections that a piece for these beats has, were none of it kept; none without a form."""
        if self.form == FREE:
            return []
        if self.form != AUTO and not self.network.reference_condition:
            return sections(self.form, len(beats.visual))
        starts = starts_at_cuts(beats.cut)
        return lettered(letters_of(looks(beats), starts) if self.form == AUTO else self.form, starts)

    def _together(self, requests: Sequence[Request], told: Sequence[Told], longform: str) -> Iterator[Progress]:
        """Pieces with what is told of their beats."""
        pieces, parts = [], []
        for request, own in zip(requests, told, strict=True):
            piece_plan = plan(STEPS_PER_BEAT * len(request.beats.visual), longform, self.network.planes)
            pieces.append(Job(piece_plan, request.seed, request.known))
            parts.append(self._encode(request.beats, piece_plan, own))
        yield from self._generate(Encoded.concatenate(parts), pieces, longform)

    def _sketches(self, requests: Sequence[Request]) -> Generator[Progress, None, list[dict[str, np.ndarray]]]:
        """A roll (C, 128, P) of 0 and 1 of each letter of every piece.

        The first section is sketched freely, those of other letters in its key and groove; all in their chords, where
        the piece has any.
        """
        parts = [self.sections(request) for request in requests]
        found: list[dict[str, np.ndarray]] = [{} for _ in requests]
        for chosen in (slice(1), slice(1, None)):
            wanted = [(index, part) for index, own in enumerate(parts) for part in first_sections(own)[chosen]]
            if not wanted:
                break
            themes = []
            for index, part in wanted:
                first = next(iter(found[index].values()), None)
                theme = np.zeros((BEATS_PER_SEGMENT, THEME_WIDTH), np.float32)
                if first is not None:
                    theme = common_theme(merged(first))
                themes.append(Told(in_chords(theme, requests[index].chords(), part.beat)))
            pieces = [requests[index].section(part) for index, part in wanted]
            for progress in self._together(pieces, self._filled(themes, pieces), "independent"):
                yield replace(progress, sketch=True)
            for (index, part), roll in zip(wanted, progress.rolls, strict=True):
                found[index][part.letter] = self._cells(roll)
        return found

    def _told(self, requests: Sequence[Request], sketches: Sequence[Mapping[str, np.ndarray]]) -> list[Told]:
        """What each piece is told: the themes of its sections and its chords, and passages to be like."""
        told = []
        for request, rolls in zip(requests, sketches, strict=True):
            beats, chords = len(request.beats.visual), request.chords()
            own = [part for part in self.sections(request) if not request.holds(part)]
            theme, reference = None, None
            if rolls or chords is not None:
                themes = {letter: theme_of(merged(roll)) for letter, roll in rolls.items()}
                theme = in_chords(laid_out(own, themes, beats), chords, 0)
            if rolls and self.settings.reprise is not None:
                reference = references(own, rolls, beats, self.settings.reprise)
            told.append(Told(theme, reference))
        return self._filled(told, requests)

    def _filled(self, told: Sequence[Told], requests: Sequence[Request]) -> list[Told]:
        return all_told(told, [len(request.beats.visual) for request in requests], self.network.planes)

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
        with side_by_side(self.device, len(numbers)) as calls:
            rows = chunked(denoise, self.settings.rows, calls)
            yield from METHODS[longform](rows, pieces, self.sampler, self.schedule, self.device, **options)

    def calls(self, request: Request) -> int:
        """How many times `compose` will yield for a request on its own."""
        windows = plan(STEPS_PER_BEAT * len(request.beats.visual), self.longform).count
        letters = len(first_sections(self.sections(request)))
        walks = min(letters, 2) + (windows if self.longform == "outpaint" else 1)
        return len(self.sampler.timesteps(self.schedule)) * walks

    def notes(self, roll: Tensor) -> Notes:
        """The notes of a finished roll (C, L, P); of four planes with lead or accompaniment as their track."""
        assert self.settings.threshold is not None
        if not bool(torch.isfinite(roll).all()):
            raise InputError("the network gave numbers that are not finite; use another checkpoint= or precision=fp32")
        return decode_parts(roll.float().cpu().numpy(), self.settings.threshold)

    def _cells(self, roll: Tensor) -> np.ndarray:
        """A section's finished roll as 0 and 1 (C, 128, P), filled up with silence."""
        cells = (roll.float().cpu().numpy() > self.settings.threshold).astype(np.float32)
        return np.pad(cells, [(0, 0), (0, STEPS_PER_SEGMENT - cells.shape[1]), (0, 0)])

    @torch.no_grad()
    def _encode(self, beats: BeatFeatures, piece_plan: Plan, told: Told) -> Encoded:
        starts = np.array([start // STEPS_PER_BEAT for start in piece_plan.starts])
        if self.settings.window == "dynamic":
            window = dynamic_windows(beats.cut, starts)
        else:
            window = np.full(len(starts), self.settings.window)
        condition = cut_condition(beats, starts, window, told)
        return self.network.encode(condition.to(self.device))


def _first(*choices: Any) -> Any:
    """The first choice that is not None; None where all are."""
    return next((choice for choice in choices if choice is not None), None)
