"""From settings to a performance and its sound, through the library, and the files of the command."""

import io
from dataclasses import replace
from pathlib import Path

import mido
import numpy as np
import pytest
from make_video import flat, ramp, write_video
from strategies import assert_same
from tiny_checkpoint import save_tiny_checkpoint

import diffbgm
from diffbgm.errors import InputError
from diffbgm.generation.playing import cue_of, fade_seconds, fitting_palette, mood_plane
from diffbgm.generation.settings import SampleSettings
from diffbgm.music import fonts
from diffbgm.music.audio import default_soundfont, loudness, true_peak_db
from diffbgm.music.fonts import find_soundfont, licence_of, unpack
from diffbgm.music.instruments import palette
from diffbgm.music.midi import read_midi
from diffbgm.music.mood import Mood
from diffbgm.music.parts import lead_of
from diffbgm.music.performer import smooth
from diffbgm.music.soundfont import small_soundfont

QUICK = {"steps": 2, "progress": False}
MECHANICAL = {"dynamics": 0, "humanize": 0, "instruments": "piano"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("playing")
    save_tiny_checkpoint(folder / "tiny.safetensors")
    write_video(folder / "clip.mp4", [*[flat(20)] * 16, *ramp(16), *[flat((180, 40, 20))] * 16], fps=12)
    return folder


@pytest.fixture(scope="module")
def pipe(folder):
    return diffbgm.Pipeline.from_pretrained(folder / "tiny.safetensors", device="cpu")


@pytest.fixture(scope="module")
def plain(pipe, folder):
    return pipe(folder / "clip.mp4", tempo=120, **QUICK, **MECHANICAL)


@pytest.fixture(scope="module")
def duo(pipe, folder):
    return pipe(folder / "clip.mp4", tempo=120, instruments="flute+piano", stems=True, **QUICK)


@pytest.fixture(autouse=True)
def no_fetched_soundfonts(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(fonts, "SYSTEM_FOLDERS", ())


def test_a_mechanical_piano_plays_the_notes_as_they_were_composed(pipe, folder, plain, tmp_path):
    assert set(plain.notes.velocity) == {80}
    played = pipe(folder / "clip.mp4", tempo=120, dynamics=1, humanize=1, **QUICK)
    assert_same(replace(played.notes, velocity=plain.notes.velocity), plain.notes)
    assert np.ptp(played.notes.velocity) > 10
    for number, music in enumerate((plain, played)):
        again = read_midi(music.save(tmp_path / f"{number}.mid")).notes.without_overlaps()
        expected = music.notes.without_overlaps()
        np.testing.assert_array_equal(again.onset, expected.onset)
        np.testing.assert_array_equal(again.pitch, expected.pitch)
        np.testing.assert_array_equal(again.velocity, expected.velocity)


def test_the_same_seed_gives_the_same_bytes(pipe, folder, duo):
    again = pipe(folder / "clip.mp4", tempo=120, instruments="flute+piano", **QUICK)
    assert again.played.midi == duo.played.midi
    np.testing.assert_allclose(again.audio, duo.audio, atol=0.02)  # stems are rendered and rounded one by one


def test_parts_are_named_tracks_with_markers_at_the_cuts(duo):
    file = mido.MidiFile(file=io.BytesIO(duo.played.midi))
    names = [track.name for track in file.tracks]
    assert names == ["Score", "Flute (lead)", "Acoustic Grand Piano (accompaniment)"]
    markers = [message.text for message in file.tracks[0] if message.type == "marker"]
    assert markers == [f"cut {number}" for number in range(1, len(duo.shots))]
    assert len(markers) > 0
    assert duo.report()["instruments"] == names[1:]


def test_all_parts_swell_with_the_motion_by_expression(duo, plain):
    def expression(music):
        file = mido.MidiFile(file=io.BytesIO(music.played.midi))
        found = []
        for track in file.tracks[1:]:
            ticks = np.cumsum([message.time for message in track])
            swell = [(t, m.value) for t, m in zip(ticks, track, strict=True) if m.is_cc(11)]
            found.append(np.array(swell).reshape(-1, 2))
        return found, file.ticks_per_beat

    (lead, accompaniment), beat = expression(duo)
    np.testing.assert_array_equal(lead, accompaniment)
    motion = duo.shown.visual[duo.shown.valid, 0]
    np.testing.assert_array_equal(lead[:, 0], beat * np.arange(len(motion)))
    asked = 100 + 27 * 0.7 * smooth(2 * motion - 1, 4)
    np.testing.assert_allclose(lead[:, 1], asked, atol=0.51)
    assert [len(track) for track in expression(plain)[0]] == [0]


def test_instruments_without_notes_are_named(duo, caplog):
    tune = duo.notes.select(lead_of(duo.notes))
    settings = replace(duo.settings, instruments="flute+harp+cello")
    alone = replace(duo, notes=tune, settings=settings)
    assert alone.report()["instruments"] == ["Flute (lead)"]
    assert alone.report()["instruments_left_out"] == ["Orchestral Harp (accompaniment)", "Cello (bass)"]
    assert [record.getMessage() for record in caplog.records] == [
        "the music for clip.mp4 is without Orchestral Harp (accompaniment) and Cello (bass), "
        "which would have nothing to play"
    ]
    assert duo.report()["instruments_left_out"] == []
    twice = replace(alone, settings=replace(settings, instruments="flute+harp+flute"))
    assert twice.report()["instruments_left_out"] == ["Orchestral Harp (accompaniment)", "Flute (bass)"]


def test_stems_sum_to_the_mix(duo):
    assert list(duo.stems) == ["flute-lead", "acoustic-grand-piano-accompaniment"]
    np.testing.assert_allclose(sum(duo.stems.values()), duo.audio, atol=1e-5)
    assert all(np.abs(stem).max() > 0.01 for stem in duo.stems.values())


def test_loudness_and_true_peak_are_met(duo, plain):
    for music in (duo, plain):
        assert loudness(music.audio, 48000) == pytest.approx(-16, abs=0.1)
        assert true_peak_db(music.audio) <= -1
        assert len(music.audio) == round(music.duration * 48000)
        assert np.abs(music.audio[-100:]).max() < 1e-3, "faded out"


def test_moods_reach_tempo_notes_and_report(pipe, folder):
    calm = pipe(folder / "clip.mp4", mood="calm", valence=0.8, **QUICK)
    wild = pipe(folder / "clip.mp4", arousal=1, valence=-0.8, instruments="auto", **QUICK)
    assert wild.tempo > 1.2 * calm.tempo
    assert calm.report()["mood"]["arousal"] < 0 < wild.report()["mood"]["arousal"]
    assert wild.notes.velocity.mean() > calm.notes.velocity.mean()
    assert wild.settings.instruments == "orchestra"
    assert wild.shown.visual[:, 0].mean() > calm.shown.visual[:, 0].mean()


def test_a_table_of_moods_steers_along_the_film(pipe, folder, tmp_path):
    (tmp_path / "moods.csv").write_text("time,mood\n0,calm\n2,epic\n", encoding="utf-8")
    music = pipe(folder / "clip.mp4", moods=str(tmp_path / "moods.csv"), tempo=120, **QUICK)
    motion = music.shown.visual[:, 0]
    assert motion[6:].mean() > motion[:2].mean()


@pytest.mark.parametrize(
    ("wishes", "sentence"),
    [
        ({"instruments": "flte+piano"}, r"no instrument 'flte'; did you mean flute"),
        ({"instruments": "a+b+c+d+e"}, r"names 5 instruments, and the music has 4 parts"),
        ({"instruments": "strngs"}, r"did you mean strings"),
        ({"instruments": "strings", "program": 3}, r"both choose; give one"),
        ({"program": "violn"}, r"did you mean violin"),
        ({"program": 128}, r"program=128 is not an instrument"),
        ({"dynamics": 1.5}, r"dynamics=1\.5 cannot be used; give a number from 0 to 1"),
        ({"dynamics": "loud"}, r"dynamics=loud cannot be used"),
        ({"humanize": -1}, r"humanize=-1 cannot be used; give a number from 0 to 1"),
        ({"room": 2}, r"room=2 cannot be used"),
        ({"stems": "flute"}, r"stems=flute cannot be used; give true or false"),
        ({"fade": "slow"}, r"fade=slow cannot be used; give a number from 0 to 60, or auto"),
        ({"mood": "17"}, r"mood='17' is not a mood"),
        ({"valence": 2}, r"valence=2 cannot be used; give a number from -1 to 1"),
        ({"arousal": "much"}, r"arousal=much cannot be used"),
        ({"moods": "none.csv"}, r"there is no file none\.csv"),
        ({"moods": "none.csv", "mood": "calm"}, r"leave mood=, valence= and arousal= out"),
        ({"soundfont": "none.sf2"}, r"no soundfont none\.sf2; give an \.sf2 or \.sf3 file"),
        ({"soundfont": "musescor"}, r"did you mean musescore"),
        ({"soundfont": "fluid"}, r"the soundfont fluid is not in .*; get it by"),
    ],
)
def test_wishes_that_cannot_be_met_are_one_sentence(pipe, folder, wishes, sentence):
    with pytest.raises(InputError, match=sentence) as caught:
        pipe(folder / "clip.mp4", **wishes, **QUICK)
    assert "\n" not in str(caught.value)


def test_a_broken_soundfont_is_named_and_nothing_is_written(pipe, folder, tmp_path):
    (tmp_path / "broken.sf2").write_bytes(default_soundfont().read_bytes()[:100_000])
    music = pipe(folder / "clip.mp4", soundfont=str(tmp_path / "broken.sf2"), **QUICK)
    with pytest.raises(InputError, match=r"broken\.sf2 cannot be rendered"):
        music.save(tmp_path / "a.wav")
    assert not (tmp_path / "a.wav").exists()


def test_the_best_soundfont_that_is_there_is_used(tmp_path):
    assert find_soundfont(None) == find_soundfont("builtin") == default_soundfont()
    place = fonts.soundfont_folder()
    assert place.is_relative_to(tmp_path)
    place.mkdir(parents=True)
    fetched = place / "MuseScore_General_Lite.sf3"
    fetched.write_bytes(small_soundfont(default_soundfont(), [10]))
    assert unpack(fetched) == place / "MuseScore_General.sf2"
    assert find_soundfont(None) == find_soundfont("musescore") == place / "MuseScore_General.sf2"
    assert licence_of(find_soundfont(None)).startswith("MIT")
    assert licence_of(default_soundfont()).startswith("GPL-2")
    assert licence_of(Path("mine.sf2")) == "as the maker of mine.sf2 says"


def test_every_report_says_under_which_rights(plain):
    rights = plain.report()["rights"]
    assert set(rights) == {"code", "weights", "soundfont", "result"}
    assert rights["result"].startswith("yours")
    assert "GPL-2" in rights["soundfont"]


def test_the_picture_sets_loudness_and_the_film_its_fade(plain):
    cue = cue_of(plain.shown, np.array([1.0]), 120)
    assert len(cue.energy) == int(plain.shown.valid.sum())
    assert np.abs(cue.energy).max() <= 1
    assert cue.accents.tolist() == [8]
    assert (cue_of(plain.shown, np.zeros(0), 120, np.full(50, 0.5)).energy >= cue.energy).all()
    np.testing.assert_allclose(cue.swell, 2 * plain.shown.visual[plain.shown.valid, 0] - 1, atol=2e-3)
    assert len(cue_of(None, np.zeros(0), 120).energy) == len(cue_of(None, np.zeros(0), 120).swell) == 0
    assert fade_seconds(SampleSettings(), None) == 2
    assert fade_seconds(SampleSettings(), 4.5) == 4.5
    assert fade_seconds(SampleSettings(fade=1.0), 4.5) == 1
    assert fade_seconds(SampleSettings(ending="resolve"), 4.5) == 0.6


PALETTES = {  # words of the table of moods -> who plays
    "neutral": "piano", "happy": "folk", "fun": "folk", "calm": "harp", "romantic": "harp", "epic": "orchestra",
    "tense": "orchestra", "angry": "orchestra", "sad": "chamber", "melancholic": "chamber",
}  # fmt: skip


@pytest.mark.parametrize(("word", "name"), PALETTES.items())
def test_palettes_follow_the_mood(word: str, name: str):
    mood = mood_plane().of(word)
    assert fitting_palette(mood) == name
    assert palette(name)  # which the instruments know


def test_no_mood_is_a_piano():
    assert fitting_palette(None) == fitting_palette(Mood()) == "piano"


def test_instruments_auto_are_those_of_the_mood(folder, pipe):
    made = pipe(folder / "clip.mp4", instruments="auto", mood="sad", **QUICK)
    assert made.settings.instruments == "chamber"
    assert [part.voice.program for part in made.played.parts] == [voice.program for voice in palette("chamber")]
