"""From the features of videos to finished pieces: variations, their ranking, endings and keys.

Shape legend: L steps of a piece, n kept timesteps, P pitches.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from diffbgm.diffusion.inpainting import Known
from diffbgm.generation.composer import Composer
from diffbgm.generation.harmony import HarmonyPlan, planned, wished
from diffbgm.generation.kept import known_bars, known_melody
from diffbgm.generation.music import Music
from diffbgm.generation.playing import cue_for, manner_of, mood_curve, mood_plane, voices_of
from diffbgm.generation.progress import Stage
from diffbgm.generation.request import Request
from diffbgm.generation.settings import SampleSettings
from diffbgm.generation.states import StateRecorder, States
from diffbgm.music.density import note_density, spearman
from diffbgm.music.ending import cut_at, resolve
from diffbgm.music.fonts import find_soundfont
from diffbgm.music.harmony import parse_chords
from diffbgm.music.key import Key, into_key
from diffbgm.music.midi import read_midi
from diffbgm.music.mood import MoodCurve, into_mode
from diffbgm.music.notes import STEPS_PER_BEAT, Notes
from diffbgm.music.performer import shaped
from diffbgm.music.tempo import TempoChoice, beat_score, choose_tempo
from diffbgm.video.features import BeatFeatures, VideoFeatures
from diffbgm.video.steer import pace


def tempo_of(features: VideoFeatures, settings: SampleSettings, moods: MoodCurve | None = None) -> TempoChoice:
    """The requested tempo, or the one that fits the cuts and the mood best, with its score."""
    cuts = features.shots[1:, 0]
    if settings.tempo is None or settings.tempo == "auto":
        if moods is None:
            return choose_tempo(cuts, *settings.tempo_range)
        low, high = moods.mean(features.duration).tempi(*settings.tempo_range)
        return choose_tempo(cuts, low, high, preferred=(low * high) ** 0.5)
    bpm = float(settings.tempo)
    return TempoChoice(bpm, beat_score(cuts, bpm) if len(cuts) else None)


@dataclass(frozen=True)
class Variation:
    """One variation of a piece."""

    number: int  # 0, 1, ... in the order of their seeds
    notes: Notes
    following: float | None
    states: States | None
    harmony: HarmonyPlan | None  # the chords it was composed in


def composed(
    composer: Composer, shown: Sequence[BeatFeatures], settings: SampleSettings, stage: Stage
) -> list[list[Variation]]:
    """All variations for all videos, composed together and sorted by how well they follow their video, best first."""
    recorder = StateRecorder(composer.sampler.timesteps(composer.schedule), settings.keep_states)
    seeds = [(settings.seed, number) if number else (settings.seed,) for number in range(settings.variations)]
    requests = []
    for features in shown:
        known = _known(settings, STEPS_PER_BEAT * len(features.visual), composer.network.planes)
        requests += [_request(composer, features, seed, known, settings) for seed in seeds]
    with stage("compose", max(map(composer.calls, requests))) as advance:
        for progress in composer.compose(requests):
            recorder.see(progress)
            advance(1)
    takes = []
    for index, (request, roll) in enumerate(zip(requests, progress.rolls, strict=True)):
        notes = composer.notes(roll, keep=request.known is not None)
        following, harmony = _following(notes, request.features), composer.harmony(request)
        takes.append(Variation(index % len(seeds), notes, following, recorder.states(index), harmony))
    pieces = [takes[start : start + len(seeds)] for start in range(0, len(takes), len(seeds))]
    return [sorted(own, key=_rank, reverse=True) for own in pieces]


def _request(
    composer: Composer, features: BeatFeatures, seed: tuple[int, ...], known: Known | None, settings: SampleSettings
) -> Request:
    """A request with the chords of the settings, or with planned chords in the key of the settings."""
    request = Request(features, seed, known)
    if settings.chords is not None:
        return replace(request, harmony=wished(parse_chords(settings.chords), len(features.visual)))
    if settings.key is not None and not is_moved(composer, settings):
        return replace(request, harmony=planned(features, seed, composer.sections(request), Key.parse(settings.key)))
    return request


def is_moved(composer: Composer, settings: SampleSettings) -> bool:
    """Whether the finished piece is transposed to reach the requested key.

    That is so for music to keep, which has a key of its own, and for networks that cannot be told chords. Requested
    chords are never transposed.
    """
    kept = settings.melody is not None or settings.keep is not None
    return settings.chords is None and (kept or not composer.network.theme_condition)


def _rank(take: Variation) -> float:
    return -math.inf if take.following is None else take.following


def _following(notes: Notes, features: BeatFeatures) -> float | None:
    """The Spearman correlation of notes per beat with motion; None if there is no motion stream or it is undefined."""
    motion = pace(features)
    if motion is None:
        return None
    count = int(features.valid.sum())
    return spearman(note_density(notes, count), motion[:count])


def _known(settings: SampleSettings, total: int, planes: int) -> Known | None:
    """The user's melody or bars to keep, for a piece of `total` steps."""
    if settings.melody is not None:
        return known_melody(settings.melody, total, planes)
    if settings.keep is not None and settings.keep_bars is not None:
        return known_bars(settings.keep, *settings.keep_bars, total, planes)
    return None


def finished(take: Variation, key: Key | None, common: Mapping[str, Any]) -> Music:
    """The finished piece: the variation with its ending, key, mode and velocities."""
    end = math.ceil(common["duration"] * common["tempo"] / 60.0 * STEPS_PER_BEAT - 1e-6)
    notes = (resolve if common["settings"].ending == "resolve" else cut_at)(take.notes, end)
    moods: MoodCurve | None = common["moods"]
    if key is None and take.harmony is None and moods is not None:
        notes = into_mode(notes, moods.mean(common["duration"]).mode)
    notes, moved = (notes, 0) if key is None else into_key(notes, key)
    settings = common["settings"]
    cue = cue_for(settings, common["tempo"], common["shots"], common["shown"], moods)
    notes = shaped(notes, manner_of(settings), cue)
    return Music(
        notes=notes,
        following=take.following,
        take=take.number,
        transposed=moved,
        states=take.states,
        harmony=take.harmony,
        **common,
    )


def check_wishes(settings: SampleSettings) -> Key | None:
    """The requested key. Raises InputError early for settings that cannot be met and for files that cannot be used."""
    find_soundfont(settings.soundfont)
    mood_curve(settings, mood_plane())
    if settings.instruments != "auto" or settings.program:
        voices_of(settings)
    for given in filter(None, (settings.melody, settings.keep)):
        read_midi(given)
    if settings.chords is not None:
        parse_chords(settings.chords)
    return None if settings.key is None else Key.parse(settings.key)
