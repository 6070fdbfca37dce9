"""Controls whose effect is exact whatever the weights are, from the call of a pipeline to what is written and heard.

Equal seeds, melodies, the ranking of takes and moods are in test_pipeline.py and test_playing.py.
"""

import io
from dataclasses import replace
from itertools import pairwise

import av
import mido
import numpy as np
import pretty_midi
import pytest
from make_video import flat, write_video
from tiny_checkpoint import save_tiny_checkpoint

import diffbgm
from diffbgm.music.audio import loudness
from diffbgm.music.instruments import palette
from diffbgm.music.key import Key, estimate_key, into_key
from diffbgm.music.notes import STEPS_PER_BAR

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def make(tmp_path_factory):
    """make(**settings): the music for three seconds with sound that are cut at 1 s and at 2 s, at 120 BPM."""
    folder = tmp_path_factory.mktemp("controls")
    save_tiny_checkpoint(folder / "tiny.safetensors")
    pictures = [flat([20, 220, 90][k // 12]).copy() for k in range(36)]
    for k, picture in enumerate(pictures):
        picture[:, 5 * k % 50 :][:, : 10 * (k % 3)] = 0
    clip = write_video(folder / "clip.mp4", pictures, fps=12, sound=3.0)
    pipe = diffbgm.Pipeline.from_pretrained(folder / "tiny.safetensors", device="cpu", cache=folder)
    usual = {"steps": 2, "progress": False, "tempo": 120, "soundfont": "builtin"}
    return lambda **settings: pipe(clip, **{**usual, **settings})


@pytest.fixture(scope="module")
def music(make):
    return make()


def changed(music, **settings):
    """The same notes under other settings of performance and sound."""
    return replace(music, settings=replace(music.settings, **settings))


def cells(notes):
    return set(zip(notes.onset, notes.pitch, notes.duration, strict=True))


@pytest.mark.parametrize("bpm", [40, 96.5, 240])
def test_the_tempo_is_the_one_asked_for(make, bpm):
    first = mido.MidiFile(file=io.BytesIO(make(tempo=bpm).played.midi)).tracks[0]
    found = [mido.tempo2bpm(message.tempo) for message in first if message.type == "set_tempo"]
    assert found == [pytest.approx(bpm, abs=1e-3)]


def test_cuts_at_whole_seconds_are_on_the_beats_of_120_bpm(music):
    assert music.shots[1:, 0].tolist() == pytest.approx([1, 2])
    assert music.tempo_score == pytest.approx(1)


def test_every_key_or_its_relative_is_met(make):
    for tonic in range(12):
        asked = Key(tonic, minor=tonic % 2 == 1)
        assert into_key(make(key=str(asked)).notes, asked)[1] == 0


def test_kept_bars_stay_and_the_others_do_not(make, music, tmp_path):
    again = make(seed=1, keep=str(music.save(tmp_path / "old.mid")), keep_bars=(1, 1))
    kept, others = ((0, STEPS_PER_BAR), (STEPS_PER_BAR, 2 * STEPS_PER_BAR))
    assert cells(again.notes.window(*kept)) == cells(music.notes.window(*kept)) != set()
    old, new = (cells(piece.notes.window(*others)) for piece in (music, again))
    assert len(old & new) < 0.5 * len(old | new)


def test_dynamics_widen_the_range_of_velocity(make):
    ranges = [np.ptp(make(dynamics=asked).notes.velocity) for asked in (0, 0.35, 0.7, 1)]
    assert ranges[0] == 0
    assert all(a < b for a, b in pairwise(ranges))


def test_humanize_moves_notes_off_the_grid(music):
    late = []
    for asked in (0, 0.5, 1):
        parts = pretty_midi.PrettyMIDI(io.BytesIO(changed(music, humanize=asked).played.midi)).instruments
        start = np.array([note.start for part in parts for note in part.notes])
        late.append(1000 * np.abs(start - np.rint(start * 8) / 8).mean())  # ms to the nearest sixteenth at 120 BPM
    assert late[0] < 0.1
    assert 1 < late[1] < late[2] < 20


@pytest.mark.parametrize("name", ["piano", "music box", "flute+piano"])
def test_the_instruments_asked_for_play(music, name):
    parts = changed(music, instruments=name).played.parts
    assert {part.voice.program for part in parts} == {voice.program for voice in palette(name)}


def test_a_fade_ends_in_silence_and_a_cut_does_not(music):
    last = [changed(music, ending=ending).audio[-4800:] for ending in ("fade", "cut")]
    fade, cut = (20 * np.log10(np.sqrt(np.mean(np.square(sound))) + 1e-6) for sound in last)
    assert fade < cut - 20


def test_a_resolved_piece_ends_on_the_tonic_triad_of_what_came_before(make):
    notes = make(ending="resolve").notes
    last = notes.select(notes.onset + notes.duration == notes.end)
    key = estimate_key(notes.select(notes.onset < last.onset.max()))
    assert set((last.pitch - key.tonic) % 12) == {0, 3 if key.minor else 4, 7}


def test_loudness_is_the_one_asked_for(music):
    assert loudness(changed(music, lufs=-23.0, ending="cut").audio, 48000) == pytest.approx(-23, abs=0.1)


def test_the_videos_own_sound_is_kept_or_replaced(music, tmp_path):
    share = {}
    for mix in ("replace", "keep"):
        with av.open(str(changed(music, mix=mix).save(tmp_path / f"{mix}.mp4"))) as container:
            sound = np.concatenate([frame.to_ndarray()[0] for frame in container.decode(audio=0)])
        power = np.abs(np.fft.rfft(sound[:96000] * np.hanning(96000))) ** 2  # of two seconds: half a hertz a bin
        share[mix] = power[876:885].sum() / power.sum()  # of 440 Hz, the tone of the clip
    assert share["replace"] < 0.1
    assert share["keep"] > 0.3
