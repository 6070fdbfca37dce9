"""Measurements of the controls on a tiny checkpoint; controls that do not depend on the weights work exactly."""

import json

import numpy as np
import pytest
from make_video import flat, write_video
from tiny_checkpoint import save_tiny_checkpoint

from diffbgm.music.notes import Notes
from scripts.measure_controls import alike, common, level, main, on_tonic, row

pytestmark = pytest.mark.slow

CONTROLS = "tempo,seed,key,melody,keep_bars,ending,mix,lufs,variations,dynamics,humanize,instruments"


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """{(control, asked, measure): row} of a run over one video with sound, cut at 1 s and at 2 s."""
    folder = tmp_path_factory.mktemp("controls")
    save_tiny_checkpoint(folder / "tiny.safetensors")
    pictures = [flat([20, 220, 90][k // 12]).copy() for k in range(36)]
    for k, picture in enumerate(pictures):
        picture[:, 5 * k % 50 :][:, : 10 * (k % 3)] = 0
    (folder / "videos").mkdir()
    write_video(folder / "videos" / "clip.mp4", pictures, fps=12, sound=3.0)
    settings = [f"videos={folder / 'videos'}", f"checkpoint={folder / 'tiny.safetensors'}", f"cache={folder / 'cache'}"]
    with pytest.MonkeyPatch.context() as patch:
        printed: list[str] = []
        patch.setattr("builtins.print", lambda text: printed.append(text))
        patch.setattr("diffbgm.generation.picture.draw_roll", lambda *given: None)  # slow, and not measured
        assert main(["--seeds", "2", "--controls", CONTROLS, *settings, "sampler.steps=2", "device=cpu"]) == 0
    rows = json.loads(printed[-1])["rows"]
    assert len(printed) == len(rows) + 2, "a head, a line a row, and JSON"
    return {(r["control"], r["asked"], r["measure"]): r for r in rows}


@pytest.mark.parametrize("bpm", ["40", "72", "96.5", "120", "180", "240"])
def test_the_tempo_is_the_one_asked_for(measured, bpm):
    assert measured["tempo", bpm, "BPM of the MIDI"]["got"] == pytest.approx(float(bpm), abs=1e-3)


def test_cuts_at_whole_seconds_are_on_the_beats_of_120_bpm(measured):
    cuts = measured["tempo", "120", "share of cuts within 1/16 of a beat"]
    assert (cuts["got"], cuts["n"]) == (1, 2)


@pytest.mark.parametrize(
    ("control", "asked", "measure"),
    [
        ("key", "12 keys", "share in the key or its relative"),
        ("seed", "the same", "share of files with equal bytes"),
        ("melody", "6 notes", "share of them in the piece"),
        ("keep_bars", "first half", "share of equal notes in these bars"),
        ("variations", "4", "share ranked by following"),
    ],
)
def test_what_is_promised_is_always_so(measured, control, asked, measure):
    assert measured[control, asked, measure]["got"] == 1


def test_levels_and_shares_lie_where_they_must(measured):
    assert measured["seed", "another", "share of equal notes"]["got"] < 0.9
    assert measured["variations", "4", "takes"]["got"] == 4
    last = [measured["ending", name, "dB of the last 100 ms over the mean"]["got"] for name in ("fade", "cut")]
    assert last[0] < last[1] - 20
    tonic = [measured["ending", name, "share that end on the tonic"]["got"] for name in ("cut", "resolve")]
    assert tonic[0] <= tonic[1]
    for asked in ("-23.0", "-16.0"):
        assert measured["lufs", asked, "LUFS of the WAV"]["got"] == pytest.approx(float(asked), abs=0.5)
    kept = [measured["mix", mix, "correlation with the video's own sound"]["got"] for mix in ("replace", "keep")]
    assert abs(kept[0]) < 0.1
    assert kept[1] > 0.5


def test_the_performance_is_the_one_asked_for(measured):
    got = {key: row["got"] for key, row in measured.items()}
    assert got["dynamics", "0", "range of velocity"] == 0
    ranges = [got["dynamics", asked, "range of velocity"] for asked in ("0.35", "0.7", "1")]
    assert 0 < ranges[0] < ranges[1] < ranges[2]
    assert got["humanize", "0", "ms off the grid"] < 0.1
    assert got["humanize", "0", "pedals a bar"] == 0
    assert 1 < got["humanize", "0.5", "ms off the grid"] < got["humanize", "1", "ms off the grid"] < 20
    for asked in ("piano", "music box", "flute+piano"):
        assert got["instruments", asked, "share of the right instruments"] == 1


def notes(*rows: tuple[int, int, int]) -> Notes:
    onset, pitch, duration = np.array(rows).T
    return Notes(onset, pitch, duration, np.full(len(rows), 80), np.zeros(len(rows), np.int64))


def test_measures_on_known_music_and_sound():
    scale = [(4 * k, pitch, 4) for k, pitch in enumerate((60, 62, 64, 65, 67, 69, 71, 72, 67, 64, 60))]
    assert on_tonic(notes(*scale, (44, 48, 8), (44, 64, 8), (44, 67, 8)))
    assert not on_tonic(notes(*scale, (44, 53, 8), (44, 65, 8), (44, 69, 8)))
    assert common(notes((0, 60, 4), (4, 62, 4)), notes((0, 60, 4), (4, 64, 4))) == pytest.approx(1 / 3)
    assert common(Notes.empty(), Notes.empty()) == 1
    tone = np.sin(np.arange(4800) / 10)[:, None].repeat(2, axis=1).astype(np.float32)
    assert level(tone) == pytest.approx(-3.01, abs=0.05)
    assert alike(tone, 0.5 * tone[:4000]) == pytest.approx(1)
    assert row("x", 1, "y", [])["got"] is None


def test_an_unknown_control_is_named(tmp_path, capsys):
    assert main(["--controls", "tempo,mood", f"videos={tmp_path}"]) == 1
    assert "there is no control mood" in capsys.readouterr().err
