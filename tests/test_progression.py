"""Planned chords: those of the shipped model, and the counts of a small data set."""

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest

from diffbgm.app.cli import run
from diffbgm.music.key import Key
from diffbgm.music.progression import Progressions, progressions
from scripts.fit_harmony import fit_harmony


def plan(key: str, sections: list[tuple[str, int]], pace: float = 0.5, seed: int = 0) -> list[str]:
    return [str(chord) for chord in progressions().plan(Key.parse(key), sections, pace, np.random.default_rng(seed))]


@pytest.mark.parametrize("key", ["C major", "F# minor"])
def test_a_piece_closes_on_its_tonic(key: str) -> None:
    tonic = str(progressions().plan(Key.parse(key), [("A", 1)], 0.5, np.random.default_rng(0))[0])
    assert tonic == {"C major": "C", "F# minor": "F#m"}[key]
    for seed in range(5):
        for bars in (1, 2, 3, 8):
            chords = plan(key, [("A", 8), ("B", bars)], seed=seed)
            assert len(chords) == 2 * (8 + bars)
            assert chords[-2:] == [tonic] * 2
            assert chords[-3] != tonic


def test_alike_letters_have_alike_chords_and_seeds_differ() -> None:
    chords = plan("D major", [("A", 8), ("B", 8), ("A", 8), ("C", 8)])
    assert chords[:16] == chords[32:48] != chords[16:32]
    assert chords != plan("D major", [("A", 8), ("B", 8), ("A", 8), ("C", 8)], seed=1)


def test_the_key_moves_the_plan() -> None:
    model, rng = progressions(), np.random.default_rng
    low, high = (model.plan(Key(tonic, False), [("A", 8)], 0.5, rng(3)) for tonic in (0, 5))
    assert [(chord.root + 5) % 12 for chord in low] == [chord.root for chord in high]


def test_major_and_minor_have_their_own_chords_and_pace_its_changes() -> None:
    major, minor = (Counter(c for seed in range(20) for c in plan(key, [("A", 8)], seed=seed)) for key in ("C", "Am"))
    assert major["C"] > major["Am"]
    assert minor["Am"] > minor["C"]
    plans = {pace: [plan("C", [("A", 8)], pace, seed) for seed in range(20)] for pace in (0.0, 1.0)}
    slow, fast = (np.mean([a != b for chords in some for a, b in pairwise(chords)]) for some in plans.values())
    assert fast > slow + 0.05


def test_counts_of_a_small_tree(tmp_path, capsys) -> None:
    """Two songs of C G Am F, a chord a bar, in C: nothing else was counted."""
    for name in ("001", "002", "003", "004"):
        folder = tmp_path / "POP909" / name
        folder.mkdir(parents=True)
        (folder / f"{name}.mid").write_bytes(b"")
        (folder / "beat_midi.txt").write_text("".join(f"{b / 2} {b % 2 == 0:d} {b % 4 == 0:d}\n" for b in range(64)))
        names = ["C:maj", "G:maj/3", "A:min", "F:maj"] * 3 + ["C:maj", "F:maj", "G:maj", "C:maj"]
        lines = (f"{2 * bar}\t{2 * bar + 2}\t{chord}\n" for bar, chord in enumerate(names))
        (folder / "chord_midi.txt").write_text("".join(lines))
        (folder / "key_audio.txt").write_text("0.0\t32\tC:maj\n")
    given = [f"data.root={tmp_path}", "data.split=seeded", f"out={tmp_path}/model.npz"]
    assert run(fit_harmony, "fit_harmony", given) == 0
    model = Progressions.load(tmp_path / "model.npz")
    number = {(int(d), str(q)): k for k, (d, q) in enumerate(zip(model.degree, model.quality, strict=True))}
    c, g, a, f = (number[key] for key in ((0, ""), (7, ""), (9, "m"), (5, "")))
    songs = model.loops.sum()
    assert model.three[0, c, g, a] == 3 * songs
    assert model.three[0, f, g, c] == songs
    assert not model.three[1].any()
    assert model.first[0, c] == 2 * songs
    assert model.close[0, g] == songs
    assert model.loops.tolist() == [0, songs, 0]
    np.testing.assert_array_equal(model.changes[0, 1::2], 0)
    assert "major, close: G" in capsys.readouterr().out
