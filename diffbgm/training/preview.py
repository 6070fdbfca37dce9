"""Previews during training: rolls, pictures and audio for a few validation conditions.

Shape legend: K previews, C planes, S steps, P pitches.
"""

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from diffbgm.datasets.batch import Condition
from diffbgm.diffusion.objective import Objective
from diffbgm.diffusion.samplers import Sampler, SeededNoise
from diffbgm.diffusion.schedule import Schedule
from diffbgm.models.denoiser import Denoiser
from diffbgm.models.network import DiffBGM
from diffbgm.music.audio import render
from diffbgm.music.midi import write_midi
from diffbgm.music.notes import Notes
from diffbgm.music.parts import decode_parts, merged


@dataclass(frozen=True)
class Preview:
    """How previews are sampled. The seed is always the same, so that previews differ only by the weights."""

    sampler: Sampler
    objective: Objective  # with the sampling temperature
    guidance: float
    threshold: float
    seed: int
    sample_rate: int = 22050

    def rolls(
        self,
        network: DiffBGM,
        schedule: Schedule,
        condition: Condition,
        dtype: torch.dtype | None,
    ) -> Tensor:
        """Sampled rolls (K, C, S, P) in [0, 1] for K conditions, on their device; `dtype` is the autocast type."""
        device = condition.visual.device
        noise = SeededNoise([(self.seed, row) for row in range(len(condition))], (network.planes, 128, 128), device)
        with torch.no_grad():
            denoiser = Denoiser(network, self.objective)
            encoded = replace(network.encode(condition), draw=torch.arange(len(condition), device=device))
            denoise = denoiser.conditioned(encoded, self.guidance, dtype=dtype)
            for state in self.sampler(denoise, noise(), schedule, noise):
                roll = state.x0
        return roll

    def notes(self, rolls: Tensor) -> list[Notes]:
        """The notes of each roll."""
        return [decode_parts(roll, self.threshold) for roll in rolls.float().cpu().numpy()]

    def sound(self, notes: Notes) -> np.ndarray:
        """Mono audio (samples,) float32 at `sample_rate` Hz; one second of silence if there are no notes."""
        if len(notes) == 0:
            return np.zeros(self.sample_rate, np.float32)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "preview.mid"
            write_midi(notes, path)
            return render(path, sample_rate=self.sample_rate).mean(axis=1)


def recalled(notes: Notes, real: Notes) -> float:
    """Share of the real notes that were generated with the same onset, pitch and duration; 1 without real notes."""
    found, wanted = (
        set(zip(n.onset.tolist(), n.pitch.tolist(), n.duration.tolist(), strict=True)) for n in (notes, real)
    )
    return len(found & wanted) / len(wanted) if wanted else 1.0


def picture(rolls: Tensor, enlarge: int = 3) -> np.ndarray:
    """An RGB image (3, H, W) uint8 of rolls (K, C, S, P), stacked vertically with high pitches up, onsets orange."""
    cells = merged(rolls.float().cpu().clamp(0, 1).numpy())
    onset, sustain = cells.transpose(1, 0, 3, 2)[..., ::-1, :]  # (K, P, S) each
    red, green, blue = (np.clip(a * onset + b * sustain, 0, 1) for a, b in ((1.0, 0.25), (0.65, 0.45), (0.1, 0.7)))
    image = np.stack([red, green, blue])
    image = np.pad(image, ((0, 0), (0, 0), (0, 1), (0, 0)), constant_values=0.3)  # a line under each roll
    image = image.reshape(3, -1, image.shape[-1])
    return (255 * image).astype(np.uint8).repeat(enlarge, axis=1).repeat(enlarge, axis=2)
