"""Requests to the composer: one piece, or one section of it as a separate piece.

Shape legend: N beats of a piece, L = 4 N steps, C planes, P pitches.
"""

from dataclasses import dataclass

import numpy as np

from diffbgm.diffusion.inpainting import Known
from diffbgm.generation.form import Section
from diffbgm.generation.harmony import HarmonyPlan
from diffbgm.music.notes import STEPS_PER_BEAT
from diffbgm.video.features import BeatFeatures

SKETCH = 1_000_003  # separates the noise of a section's sketch from that of the piece's windows


@dataclass(frozen=True)
class Request:
    """One piece to compose."""

    features: BeatFeatures
    seed: tuple[int, ...]  # the piece's noise depends on this alone
    known: Known | None = None  # music to keep: roll and mask (C, L, P)
    harmony: HarmonyPlan | None = None  # chords to be composed in

    def section(self, part: Section) -> "Request":
        """A section as a separate piece, without chords (the caller passes them in the theme)."""
        return Request(self.features[part.span], (*self.seed, SKETCH, part.beat), self._known(part))

    def chords(self) -> np.ndarray | None:
        """The requested pitch classes of every beat, (N, 12); None without chords."""
        return None if self.harmony is None else self.harmony.plane(len(self.features.visual))

    def holds(self, part: Section) -> bool:
        """Whether a section contains music to keep."""
        known = self._known(part)
        return known is not None and bool(known.mask.any())

    def _known(self, part: Section) -> Known | None:
        steps = slice(part.beat * STEPS_PER_BEAT, part.span.stop * STEPS_PER_BEAT)
        return None if self.known is None else self.known.cut(steps)
