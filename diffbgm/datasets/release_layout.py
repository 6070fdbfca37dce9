"""Write songs and features in the layout of BGM909's release, which bgm909.py reads.

`diffbgm prepare-bgm909` uses it to build the data from the videos, for those who have them.
"""

from pathlib import Path

import numpy as np
import torch

from diffbgm.datasets.bgm909 import CAPTIONS, SHOTS, SONGS, VISUAL
from diffbgm.datasets.song import Song
from diffbgm.files import atomic
from diffbgm.music.notes import STEPS_PER_BEAT
from diffbgm.music.parts import ACCOMPANIMENT, LEAD
from diffbgm.video.features import VideoFeatures

TRACKS = 3  # melody, bridge, piano
PARTS = {0: LEAD, 2: ACCOMPANIMENT}  # the lead goes to the melody track; the bridge track stays empty


def write_song(root: Path, song: Song, chords: np.ndarray) -> Path:
    """Write the .npz of a song and return its path; `chords` (n, 14) as from `Pop909.chords`."""
    notes = song.notes.sorted()
    downbeats = song.downbeats * STEPS_PER_BEAT
    tracks, tables = np.empty(TRACKS, object), np.empty(TRACKS, object)
    for number in range(TRACKS):
        part = notes.select(notes.track == PARTS.get(number, -1))
        columns = (part.onset, part.pitch, part.duration, part.velocity, np.zeros_like(part.onset))
        tracks[number] = np.stack(columns, axis=1).tolist()
        rows = np.searchsorted(part.onset, downbeats)
        tables[number] = dict(zip(downbeats.tolist(), rows.tolist(), strict=True))
    path = root / SONGS / f"{song.id}.npz"
    with atomic(path) as temporary:
        np.savez(
            temporary,
            notes=tracks,
            start_table=tables,
            db_pos=downbeats,
            db_pos_filter=np.isin(song.downbeats, song.starts),
            chord=chords,
        )
    return path


def write_features(root: Path, song: str, features: VideoFeatures, fps: float) -> None:
    """Write a video's features: visual samples, a caption embedding for each sample, and the frames of each shot.

    Captions are repeated per sample, so that stretching both over the song keeps picture and caption together.
    """
    samples = np.arange(len(features.visual)) / features.rate
    shot = np.maximum(np.searchsorted(features.shots[:, 0], samples + 1e-6, side="right") - 1, 0)
    with atomic(root / VISUAL / f"{song}.pth") as temporary:
        torch.save(torch.from_numpy(features.visual), temporary)
    with atomic(root / CAPTIONS / f"{song}.npy") as temporary:
        np.save(temporary, features.language[shot])
    frames = np.round(features.shots * fps).astype(np.int64)
    lines = [f"{first} {max(stop - 1, first)}\n" for first, stop in frames.tolist()]
    with atomic(root / SHOTS / f"{song}_scenes.txt") as temporary:
        temporary.write_text("".join(lines), encoding="utf-8")
