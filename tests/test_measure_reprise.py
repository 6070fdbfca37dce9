"""The similarity of sections, with known answers."""

import numpy as np
import pytest

from diffbgm.generation.form import sections
from diffbgm.music.notes import Notes
from scripts.measure_reprise import compared


def test_sections_are_compared_with_the_first_of_their_letter_and_with_another_before() -> None:
    """A: four notes; again A: two of them and two others; B: none of these."""
    onset = np.array([0, 4, 8, 12, 128, 132, 138, 142, 257])
    pitch = np.array([60, 62, 64, 65, 60, 62, 64, 65, 70])
    notes = Notes(onset, pitch, onset * 0 + 1, onset * 0 + 80, onset * 0)
    found = compared([(notes, sections("AAB", 96))])
    assert found["same letter"]["mean"] == pytest.approx(2 / 6)
    assert found["other letter"]["mean"] == 0
    assert (found["same letter"]["n"], found["other letter"]["n"]) == (1, 1)
