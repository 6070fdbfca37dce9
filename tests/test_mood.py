"""Moods: the position of words, its effect on the music, and moods that change over a video."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from strategies import notes_of

from diffbgm.errors import InputError
from diffbgm.music.key import estimate_key
from diffbgm.music.mood import WORDS, Mood, MoodCurve, Moods, into_mode, read_moods
from diffbgm.video.captions import MiniLMEmbedder

# From the clusters of Hevner (1936), "Experimental studies of the elements of expression in music"; none is in the
# table. (valence, arousal): 1 above, -1 below, 0 not said.
HEVNER = {
    "doleful": (-1, -1), "mournful": (-1, -1), "tragic": (-1, 0), "melancholy": (-1, -1), "depressing": (-1, -1),
    "heavy": (-1, 0), "lyrical": (1, -1), "leisurely": (1, -1), "tranquil": (1, -1), "quiet": (0, -1),
    "soothing": (1, -1), "satisfying": (1, 0), "merry": (1, 1), "joyous": (1, 1), "cheerful": (1, 1),
    "bright": (1, 0), "gay": (1, 1), "playful": (1, 1), "humorous": (1, 1), "sprightly": (1, 1),
    "exhilarated": (1, 1), "triumphant": (1, 1), "dramatic": (0, 1), "passionate": (0, 1), "agitated": (-1, 1),
    "exciting": (1, 1), "restless": (0, 1), "vigorous": (0, 1), "tender": (1, -1), "dreamy": (1, -1),
}  # fmt: skip


def letters(texts: Sequence[str]) -> np.ndarray:
    """A stand-in for sentence embeddings that knows only spelling: similar letters, similar vectors."""
    table = np.array([np.bincount([ord(c) % 64 for c in text], minlength=64) for text in texts], float)
    return table / np.linalg.norm(table, axis=1, keepdims=True)


SPELLING = Moods(letters)


@pytest.fixture(scope="module")
def minilm() -> Moods:
    return Moods(MiniLMEmbedder().embed)


def test_thirty_words_that_the_table_lacks_lie_on_the_right_side(minilm: Moods) -> None:
    assert len(HEVNER) == 30
    assert not set(HEVNER) & set(WORDS)
    places = {word: minilm.of(word) for word in HEVNER}
    valence = [word for word, (v, _) in HEVNER.items() if v and np.sign(places[word].valence) != v]
    arousal = [word for word, (_, a) in HEVNER.items() if a and np.sign(places[word].arousal) != a]
    assert len(valence) <= 3, valence  # of 25
    assert len(arousal) <= 5, arousal  # of 26


def test_what_is_no_mood_is_refused(minilm: Moods) -> None:
    for text in ("carburettor", "xqzvt", "xyzzyqq", "asdf", "zorp", "database", "17", "calm, carburettor"):
        with pytest.raises(InputError, match=r"is not a mood; (did you mean|give words)"):
            minilm.of(text)


def test_opposites_are_not_taken_for_each_other(minilm: Moods) -> None:
    assert minilm.of("cold").valence < 0 < minilm.of("warm").valence
    assert minilm.of("dark").valence < 0 < minilm.of("light").valence
    assert minilm.of("carefree").valence > 0 > minilm.of("lonely").valence


def test_words_of_the_table_have_their_place_and_several_their_mean() -> None:
    assert SPELLING.of("Hopeful") == Mood(0.6, 0.1)
    both = SPELLING.of("calm, hopeful")
    assert both.valence == pytest.approx((np.cos(np.radians(316.2)) + 0.6) / 2)
    assert SPELLING.of("calm and hopeful") == both
    assert SPELLING.of("at ease").arousal < 0
    with pytest.raises(InputError, match="mood= is empty"):
        SPELLING.of(" , ")


@pytest.mark.parametrize(("valence", "arousal"), [(2, 0), (0, -1.1), (float("nan"), 0)])
def test_numbers_outside_the_plane_are_refused(valence: float, arousal: float) -> None:
    with pytest.raises(InputError, match=r"(valence|arousal)=.* is out of range; give -1 to 1"):
        Mood(valence, arousal)


def test_arousal_moves_the_tempo_and_valence_asks_for_a_mode() -> None:
    assert Mood(0, 0).tempi(90, 140) == (90, 140)
    low, high = Mood(0, 1).tempi(90, 140)
    assert (low / 90, high / 140) == (pytest.approx(2**0.35), pytest.approx(2**0.35))
    assert Mood(0, 1).tempi(200, 240)[1] == 240
    assert [Mood(v, 0).mode for v in (-0.8, 0.1, 0.8)] == ["minor", None, "major"]


C_MAJOR = notes_of([(4 * i, p, 4, 80, 0) for i, p in enumerate([60, 64, 67, 65, 69, 72, 67, 71, 74, 64, 60, 60])])


def test_a_piece_goes_into_the_other_mode_and_back() -> None:
    minor = into_mode(C_MAJOR, "minor")
    assert str(estimate_key(minor)) == "C minor"
    assert str(estimate_key(into_mode(minor, "major"))) == "C major"
    odd = notes_of([(4 * i, p, 4, 80, 0) for i, p in enumerate([69, 61, 61, 70, 62, 60, 69, 63, 71, 60, 61, 63])])
    assert str(estimate_key(odd)) == "C# minor"
    assert not estimate_key(into_mode(odd, "major")).minor, "raised from C# alone it is still heard in minor"
    assert into_mode(C_MAJOR, "major") is C_MAJOR
    assert into_mode(C_MAJOR, None) is C_MAJOR


def test_moods_along_a_film_hold_and_glide(tmp_path: Path) -> None:
    (tmp_path / "moods.csv").write_text("time, mood\n0, calm\n10, epic\n", encoding="utf-8")
    curve = read_moods(tmp_path / "moods.csv", SPELLING)
    valence, arousal = curve.at(np.array([0.0, 8.9, 10.0, 11.0, 99.0]))
    calm, epic = WORDS["calm"], WORDS["epic"]
    np.testing.assert_allclose(arousal, [calm[1], calm[1], (calm[1] + epic[1]) / 2, epic[1], epic[1]])
    assert valence[-1] == epic[0]
    steady = MoodCurve.constant(Mood(0.2, -0.4)).at(np.arange(3))
    np.testing.assert_allclose(steady, [[0.2] * 3, [-0.4] * 3])
    (tmp_path / "numbers.csv").write_text("valence,arousal,time\n-1,0.5,3\n", encoding="utf-8")
    assert read_moods(tmp_path / "numbers.csv", SPELLING).mean() == Mood(-1, 0.5)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("time,mood\n0,calm\n5,\n", "line 3: there is no mood; fill the gap"),
        ("time,mood\n,calm\n", "line 2: there is no time"),
        ("time,mood\n0,calm\n5\n", "line 3: there is no mood"),
        ("time,mood\nsoon,calm\n", "line 2: could not convert string to float: 'soon'; write numbers"),
        ("time,mood\n-1,calm\n", "line 2: the time -1 cannot be used"),
        ("time,mood\nnan,calm\n", "line 2: the time nan cannot be used"),
        ("time,mood\n0,calm\n\n5,\n", "line 4: there is no mood"),
        ("time,mood\n5,calm\n5,sad\n", "line 3: the time 5 is not later than the one before"),
        ("time,mood\n1e300,calm\n", "line 2: the time 1e300 cannot be used"),
        ("time,valence,arousal\n5,3,0\n", "line 2: valence=3 is out of range"),
        ("time,valence,arousal\n5,0,nan\n", "line 2: arousal=nan is out of range"),
        (f"time,mood\n0,a{' ' * 9000}b\n", "line 2: the mood has 9002 characters; give at most 200"),
        (f"time,mood\n{'9' * 300},calm\n", "line 2: the time has 300 characters"),
        ("time,mood\n" + "0,calm\n" * 10_001, "has 10001 moods; give at most 10000"),
        ("time,mood\n" + "0,calm\n" * 200_000, "has 1400010 bytes, more than the 1048576"),
        ("time,mood\n0,17\n", "line 2: mood='17' is not a mood"),
        ("when,what\n0,calm\n", "has no moods; give the columns time and mood"),
        ("", "has no moods"),
    ],
)
def test_a_damaged_table_is_named_with_its_line(tmp_path: Path, text: str, sentence: str) -> None:
    (tmp_path / "moods.csv").write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=rf"moods\.csv.*{sentence}"):
        read_moods(tmp_path / "moods.csv", SPELLING)


def test_a_missing_table_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"there is no file .*none\.csv; check the name"):
        read_moods(tmp_path / "none.csv", SPELLING)
    (tmp_path / "odd.csv").write_bytes(b"time,mood\n0,\xff\xfe\n")
    with pytest.raises(InputError, match=r"odd\.csv cannot be read"):
        read_moods(tmp_path / "odd.csv", SPELLING)


def test_the_mean_of_a_film_goes_by_the_time_that_each_mood_holds() -> None:
    curve = MoodCurve(np.array([2.0, 10.0, 40.0]), np.array([1.0, -1.0, 0.5]), np.array([0.0, 1.0, 0.0]))
    assert curve.mean(20.0) == Mood(0.0, 0.5), "the first holds from the start, the last begins after the end"
    assert curve.mean(40.0).arousal == pytest.approx(0.75)
    assert curve.mean().arousal == pytest.approx(1 / 3)
    assert MoodCurve.constant(Mood(0.3, -0.2)).mean(5.0) == Mood(0.3, -0.2)
