"""The picture of a piece: what it shows lies where it belongs."""

from pathlib import Path

import numpy as np
from PIL import Image

from diffbgm.generation.picture import HEIGHT, LEFT, MOTION, RIGHT, ROLL, WIDEST, draw_roll
from diffbgm.music.notes import Notes

NOTE, CUT, MOVING, PAPER = (47, 111, 159), (200, 85, 61), (138, 154, 91), (255, 255, 255)


def drawn(path: Path, rows: list[tuple[int, int, int]], cuts: list[float], pace: list[float], duration: float):
    """The pixels (H, W, 3) of these notes (onset, pitch, duration) at 120 BPM."""
    onset, pitch, length = np.array(rows, np.int64).reshape(-1, 3).T
    notes = Notes(onset, pitch, length, np.full(len(rows), 80), np.zeros(len(rows), np.int64))
    draw_roll(notes, path / "a.png", 120, cuts, np.array(pace), duration)
    return np.asarray(Image.open(path / "a.png"))


def test_notes_cuts_and_motion_lie_at_their_time_and_height(tmp_path: Path):
    picture = drawn(tmp_path, [(16, 66, 16)], [3.0], [0.0, 1.0, 1.0, 0.5, 0.5, 0.5, 0.5, 0.5], 4.0)
    column = [LEFT + round(second / 4 * (picture.shape[1] - LEFT - RIGHT)) for second in range(5)]
    middle = sum(ROLL) // 2  # pitch 66 of 36 to 96
    assert tuple(picture[middle, column[3] - 5]) == NOTE, "it sounds from 2 s on, over the cut"
    assert tuple(picture[middle, column[2] - 5]) == tuple(picture[middle - 10, column[2] + 20]) == PAPER
    shade = (255.0 - picture[ROLL[0] + 5, column[3] - 3 : column[3] + 3]).sum(axis=0) / (255 - np.array(CUT))
    np.testing.assert_allclose(shade, 1.4 * 0.8, atol=0.03, err_msg="a line 1.4 pixels wide, a fifth transparent")
    filled = np.abs(picture[slice(*MOTION), column[1]].astype(int) - 0.4 * 255 - 0.6 * np.array(MOVING)).max(axis=1) < 2
    assert filled.sum() == MOTION[1] - MOTION[0] - 1, "full motion at 1 s, down to the axis"
    filled = (picture[slice(*MOTION), column[3] - 9] != 255).any(axis=1)
    assert filled.sum() == (MOTION[1] - MOTION[0] + 1) // 2, "half of it later"


def test_silence_extreme_notes_and_any_length_can_be_drawn(tmp_path: Path):
    silent = drawn(tmp_path, [], [], [], 0.04)
    assert silent.shape == (HEIGHT, 880, 3)
    assert (silent[ROLL[0] : ROLL[1] - 1, LEFT + 1 :] == 255).all()
    wide = drawn(tmp_path, [(0, 0, 4), (28799, 127, 64)], [0.0, 3600.0], [0.5] * 7200, 3600.0)
    assert wide.shape == (HEIGHT, WIDEST, 3)
    shown = (wide[ROLL[0] : ROLL[1], LEFT + 1 : -RIGHT] != 255).any(axis=(1, 2)).nonzero()[0]
    assert (shown.min(), shown.max()) < (20, 317)
