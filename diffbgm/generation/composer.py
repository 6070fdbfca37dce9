"""The composer: turns the condition features of whole pieces into piano rolls and notes. It touches no files.

    composer = Composer(load_checkpoint(path), sampler, settings, device)
    for progress in composer.compose([Request(beat_features, seed=(0,))]): ...
    notes = composer.notes(progress.rolls[0])

Shape legend: N beats of a piece, K windows of 32 beats, L = 4 N steps, P pitches, Dv and Dl widths of the features.
"""

import copy
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from diffbgm.datasets.batch import Condition
from diffbgm.diffusion.longform import METHODS, Job, Plan, Progress, chunked, plan
from diffbgm.diffusion.objective import sampling_objective
from diffbgm.diffusion.samplers import Sampler, sample_number, stored_sampler
from diffbgm.diffusion.schedule import sqrt_linear
from diffbgm.errors import InputError
from diffbgm.generation.form import (
    AUTO,
    FREE,
    Section,
    beats_of,
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
from diffbgm.generation.request import Request
from diffbgm.generation.rhythm import Rhythm
from diffbgm.generation.settings import PLAN, ComposeSettings
from diffbgm.generation.supported import check_supported
from diffbgm.generation.threads import side_by_side
from diffbgm.generation.told import Told, all_told, cut_condition, in_chords, no_theme
from diffbgm.models.checkpoint import Checkpoint, all_weights
from diffbgm.models.conditioner import Encoded
from diffbgm.models.denoiser import Denoiser
from diffbgm.models.discriminator import correction
from diffbgm.models.network import DiffBGM
from diffbgm.music.notes import BEATS_PER_SEGMENT, STEPS_PER_BEAT, STEPS_PER_SEGMENT, Notes
from diffbgm.music.parts import decode_parts, merged, thinned
from diffbgm.video.features import BeatFeatures
from diffbgm.video.steer import looks
from diffbgm.video.windows import dynamic_windows

LONGFORM = "joint"  # the default
REPRISE = 0.3  # default of how closely later sections of a letter resemble the first one


class Composer:
    """A checkpoint with a sampler and settings, ready to compose any number of pieces."""

    def __init__(
        self,
        checkpoint: Checkpoint,
        sampler: Sampler | None,
        settings: ComposeSettings,
        device: torch.device,
        dtype: torch.dtype | None = None,
        compile: bool = False,
    ) -> None:
        """`sampler` None is the checkpoint's own; `dtype` is the autocast type, None for float32; `compile` uses
        torch.compile. Raises InputError if the settings do not fit the checkpoint."""
        self.config, self.device, self.dtype = checkpoint.config, device, dtype
        self.discriminator = None if checkpoint.discriminator is None else checkpoint.discriminator.to(device)
        network = checkpoint.network.to(device).to(memory_format=torch.channels_last)
        self.network: DiffBGM = torch.compile(network) if compile else network  # type: ignore[assignment]
        self._ask(settings, stored_sampler(self.config.sampling.sampler) if sampler is None else sampler)

    def asked(self, settings: ComposeSettings, sampler: Sampler | None = None) -> "Composer":
        """A composer with the same network and other settings. Raises InputError if they do not fit the checkpoint."""
        other = copy.copy(self)
        other._ask(settings, self.sampler if sampler is None else sampler)
        return other

    def to(self, device: torch.device, dtype: torch.dtype | None = None) -> "Composer":
        """The composer on another device with autocast type `dtype`. The network itself is moved, not copied."""
        other = copy.copy(self)
        other.device, other.dtype = device, dtype
        other.network = self.network.to(device)
        if self.discriminator is not None:
            self.discriminator.to(device)
        return other

    def weights(self) -> dict[str, Tensor]:
        """The network's parameters by name, as a checkpoint has them."""
        return all_weights(getattr(self.network, "_orig_mod", self.network).state_dict(), self.discriminator)

    def _ask(self, settings: ComposeSettings, sampler: Sampler) -> None:
        """Apply settings, with the checkpoint's defaults for None. Raises InputError if they do not fit."""
        config, themes = self.config, self.network.theme_condition
        defaults = config.sampling
        published = {"guidance": sampler.guidance, "longform": sampler.longform}
        self.settings = settings.completed(
            vars(defaults)
            | {"longform": LONGFORM, "window": config.window}
            | ({} if themes else dict.fromkeys(("form", "harmony", "rhythm"), FREE))
            | ({"reprise": REPRISE} if self.network.reference_condition else {})
            | {name: value for name, value in published.items() if value is not None}
        )
        self._asked_form = settings.form
        check_form(self.form)
        check_supported(settings, self.form, self.network)
        self.rhythm = Rhythm(self.settings.rhythm == PLAN)
        self.sampler = sampler
        self.schedule = sqrt_linear(**vars(config.schedule))
        sampler.timesteps(self.schedule)  # raises InputError early if the schedule lacks a timestep
        corrected = correction(self.discriminator, self.settings.discriminator)
        self.objective = sampling_objective(config.objective, self.schedule, self.settings, corrected)

    def compose(self, requests: Sequence[Request]) -> Iterator[Progress]:
        """Generate all pieces together, yielding after each step; the last rolls are the music.

        If the pieces have a form, their sections are sketched first. Raises InputError for a form with more letters
        than a piece has sections, and for chords if the network does not support them.
        """
        requests = [replace(request, harmony=self.harmony(request)) for request in requests]
        sketches = yield from self._sketches(requests)
        yield from self._together(requests, self._told(requests, sketches), self.longform)

    def harmony(self, request: Request) -> HarmonyPlan | None:
        """The chords of a piece: its own or, with harmony=plan, planned ones; None without either."""
        if request.harmony is None and self.settings.harmony == PLAN:
            return planned(request.features, request.seed, self.sections(request), None)
        if request.harmony is not None and not self.network.theme_condition:
            raise InputError("chords need a network with theme_condition, which this is not; leave chords= out")
        return request.harmony

    def sections(self, request: Request) -> list[Section]:
        """The sections of a piece; empty if it fits into one window or if all sections contain music to keep.

        Raises InputError if the requested form has more letters than the piece has sections.
        """
        beats = len(request.features.visual)
        own = self.sections_of(request.features)
        if self._asked_form not in (None, FREE, AUTO) and len(self.form) > len(own):
            raise InputError(
                f"form={self.form} has {len(self.form)} letters, but the piece has {len(own)} "
                f"section{'s' if len(own) > 1 else ''} of eight bars; "
                f"give {len(own)} at most, or form={FREE}"
            )
        return own if beats > BEATS_PER_SEGMENT and not all(map(request.holds, own)) else []

    def sections_of(self, features: BeatFeatures) -> list[Section]:
        """The sections of a piece with these features, ignoring kept music; empty without a form."""
        if self.form == FREE:
            return []
        if self.form != AUTO and not self.network.reference_condition:
            return sections(self.form, len(features.visual))
        starts = starts_at_cuts(features.cut)
        return lettered(letters_of(looks(features), starts) if self.form == AUTO else self.form, starts)

    def _together(self, requests: Sequence[Request], told: Sequence[Told], longform: str) -> Iterator[Progress]:
        """Generate pieces together with their hints."""
        pieces, parts = [], []
        for request, own in zip(requests, told, strict=True):
            piece_plan = plan(STEPS_PER_BEAT * len(request.features.visual), longform, self.network.planes)
            pieces.append(Job(piece_plan, request.seed, request.known))
            parts.append(self.encode(request.features, piece_plan, own))
        yield from self._generate(Encoded.concatenate(parts), pieces, longform)

    def _sketches(self, requests: Sequence[Request]) -> Generator[Progress, None, list[dict[str, np.ndarray]]]:
        """Sketch each letter of every piece as a binary roll (C, 128, P).

        If grooves are planned, each letter is sketched in one for the motion of all its sections. Letters after the
        first are sketched in its key (and, without a plan, its groove), all in the piece's chords, if it has any.
        """
        parts = [self.sections(request) for request in requests]
        found: list[dict[str, np.ndarray]] = [{} for _ in requests]
        for chosen in (slice(1), slice(1, None)):
            wanted = [(index, part) for index, own in enumerate(parts) for part in first_sections(own)[chosen]]
            if not wanted:
                break
            themes = []
            for index, part in wanted:
                request, first = requests[index], next(iter(found[index].values()), None)
                theme = no_theme(BEATS_PER_SEGMENT) if first is None else common_theme(merged(first))
                theme = self._in_groove(theme, part.letter, request)
                themes.append(Told(in_chords(theme, request.chords(), part.beat)))
            pieces = [requests[index].section(part) for index, part in wanted]
            for progress in self._together(pieces, self._filled(themes, pieces), "independent"):
                yield replace(progress, sketch=True)
            for (index, part), roll in zip(wanted, progress.rolls, strict=True):
                found[index][part.letter] = self._cells(roll)
        return found

    def _told(self, requests: Sequence[Request], sketches: Sequence[Mapping[str, np.ndarray]]) -> list[Told]:
        """The hints for each piece: the themes of its sections with its chords, and passages to resemble."""
        told, rhythm = [], self.rhythm
        for request, rolls in zip(requests, sketches, strict=True):
            beats, chords, kept = len(request.features.visual), request.chords(), request.known is not None
            own = [part for part in self.sections(request) if not request.holds(part)]
            theme, reference = None, None
            whole = rhythm.planned and not rolls and not kept
            if rolls or whole or chords is not None:
                themes = {}
                for letter, roll in rolls.items():  # kept music has a groove of its own
                    plain = theme_of(merged(roll))
                    themes[letter] = rhythm.heard(plain) if kept else self._in_groove(plain, letter, request)
                theme = laid_out(own, themes, beats)
                theme = rhythm.begun(theme, request.features, request.seed) if whole else theme
                theme = in_chords(theme, chords, 0)
            if rolls and self.settings.reprise is not None:
                reference = references(own, rolls, beats, self.settings.reprise)
            told.append(Told(theme, reference))
        return self._filled(told, requests)

    def _in_groove(self, theme: np.ndarray, letter: str, request: Request) -> np.ndarray:
        """A theme of sections with this letter in the groove that is planned for them, if one is."""
        among = beats_of(letter, self.sections(request), len(request.features.visual))
        return self.rhythm.begun(theme, request.features, request.seed, among)

    def _filled(self, told: Sequence[Told], requests: Sequence[Request]) -> list[Told]:
        return all_told(told, [len(request.features.visual) for request in requests], self.network.planes)

    @property
    def longform(self) -> str:
        """The method by which windows become a piece (diffusion/longform.py)."""
        assert self.settings.longform is not None
        return self.settings.longform

    @property
    def tempo(self) -> float | None:
        """The tempo in BPM published with the sampler, if any."""
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
        """The number of times `compose` yields for a single request."""
        windows = plan(STEPS_PER_BEAT * len(request.features.visual), self.longform).count
        letters = len(first_sections(self.sections(request)))
        walks = min(letters, 2) + (windows if self.longform == "outpaint" else 1)
        return len(self.sampler.timesteps(self.schedule)) * walks

    def notes(self, roll: Tensor, keep: bool = False) -> Notes:
        """The notes of a finished roll (C, L, P); with four planes, their track is lead or accompaniment.

        Chords are thinned to `voices` and short rests held over, but not if the piece has music to `keep`.
        Raises InputError if the roll is not finite.
        """
        assert self.settings.threshold is not None
        if not bool(torch.isfinite(roll).all()):
            raise InputError("the output of the network is not finite; use another checkpoint= or precision=fp32")
        notes = decode_parts(roll.float().cpu().numpy(), self.settings.threshold)
        if keep:
            return notes
        notes = thinned(notes, self.settings.voices or ())
        return notes.over_rests(self.settings.rests or 0)

    def _cells(self, roll: Tensor) -> np.ndarray:
        """A section's finished roll, binarised and padded with silence to (C, 128, P)."""
        cells = (roll.float().cpu().numpy() > self.settings.threshold).astype(np.float32)
        return np.pad(cells, [(0, 0), (0, STEPS_PER_SEGMENT - cells.shape[1]), (0, 0)])

    @torch.no_grad()
    def encode(self, features: BeatFeatures, piece_plan: Plan, told: Told) -> Encoded:
        """The encoded condition of the windows of a piece, from the features of its beats and the hints for them."""
        starts = np.array([start // STEPS_PER_BEAT for start in piece_plan.starts])
        beats = self.settings.window
        window = dynamic_windows(features.cut, starts) if beats == "dynamic" else np.full(len(starts), beats)
        condition = cut_condition(features, starts, window, told)
        return self.network.encode(condition.to(self.device))
