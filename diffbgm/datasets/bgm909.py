"""BGM909 as its authors released it: POP909's notes on the grid, and features of the video that belongs to each song.

    POP909_4_bin_pnt_8bar/NNN.npz           notes (3 tracks of [onset, pitch, duration, velocity, program], sixteenths),
                                            start_table, db_pos (sixteenths), db_pos_filter, chord (beats, 14)
    bgm909/new_raw_video_feats/NNN.pth      tensor (T, 512), one row per frame sample
    bgm909/caption_feats/NNN.npy            (T', 768), one row per caption sample
    bgm909/detection/NNN_scenes.txt         one line per shot: its first and last frame

`root` may be the folder that holds these, its parent if the folder is called `data`, or the folder `bgm909` itself with
the first folder next to it. Object arrays and pickles are read by the restricted unpickler (unpickle.py) unless
`trust_pickles` is set.

Shape legend: n beats of a song, T and T' feature rows.
"""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from diffbgm.datasets.song import Song, VideoTrack, root_folder
from diffbgm.datasets.splits import LARGEST, RELEASE_FILE, SHIPPED, Split, read_list, release_split
from diffbgm.datasets.unpickle import load_npy, load_npz, load_torch, load_torch_arrays
from diffbgm.errors import InputError
from diffbgm.files import regular
from diffbgm.music.notes import STEPS_PER_BEAT, Notes
from diffbgm.music.parts import ACCOMPANIMENT, LEAD

SONGS, VISUAL, CAPTIONS, SHOTS = (
    "POP909_4_bin_pnt_8bar",
    "bgm909/new_raw_video_feats",
    "bgm909/caption_feats",
    "bgm909/detection",
)
logger = logging.getLogger(__name__)

KEYS = ("notes", "db_pos", "db_pos_filter", "chord")


class Bgm909:
    """The released data in `root`, in `root`/data, or in the parent of `root` if that is the folder bgm909.

    `split` is "release" (the release's own pickle if it is with the data, else Polyffusion's split and a warning), a
    shipped split, a folder of lists, "seeded", or a pickle of (train list, val list). `songs="release"` restricts the
    validation songs to those that the released code generates music for.
    """

    name = "bgm909"

    def __init__(
        self,
        root: str | Path,
        split: str = "polyffusion",
        split_seed: int = 0,
        validation: float = 0.1,
        visual_width: int = 512,
        language_width: int = 768,
        trust_pickles: bool = False,
        songs: str | None = None,
    ) -> None:
        self.root = root_folder(root)
        own = release_split((self._top(), self.root)) if split == "release" else split
        self._assumed = own is None
        self._split = Split(own or "polyffusion", split_seed, validation, trust_pickles, songs)
        self.visual_width, self.language_width, self.trust = visual_width, language_width, trust_pickles

    def songs(self) -> Mapping[str, tuple[Path, ...]]:
        """Every song that has notes, and its four files. Raises InputError if a folder or song is missing."""
        absent = [part for part in (SONGS, VISUAL, CAPTIONS, SHOTS) if not (self._top() / part).is_dir()]
        if absent:
            raise InputError(f"{self.root} has no {absent[0]}: unpack the released data as data/README.md shows")
        ids = sorted(path.stem for path in (self._top() / SONGS).glob("*.npz"))
        if not ids:
            raise InputError(f"{self._top() / SONGS} has no NNN.npz: unpack the released data as data/README.md shows")
        if self._assumed:
            logger.warning("%s has no %s: using Polyffusion's split instead, which may differ", self.root, RELEASE_FILE)
        self._split.check([*ids, *_unusable()], self.root)
        return {song: files_of(self._top(), song) for song in ids}

    def excluded(self) -> Mapping[str, str]:
        """The six songs without usable features, and those that the split leaves out."""
        return self._split.excluded(self.songs()) | _unusable()

    def split(self, songs: Sequence[str]) -> Mapping[str, tuple[str, ...]]:
        """The configured split of these songs."""
        return self._split.divide(songs)

    def settings(self) -> Mapping[str, object]:
        """The split and the widths of the features."""
        return self._split.settings() | {"widths": [self.visual_width, self.language_width]}

    def read(self, song: str) -> Song:
        """One song and the features of its video. Raises InputError for a missing or damaged file or a wrong shape."""
        music, visual_file, caption_file, shot_file = files_of(self._top(), song)
        arrays = load_npz(music, self.trust)
        lacking = [key for key in KEYS if key not in arrays]
        if lacking:
            raise InputError(f"{music} has no {lacking[0]}: fetch it again")
        beats = len(arrays["chord"])
        downbeats, whole = np.asarray(arrays["db_pos"]), np.asarray(arrays["db_pos_filter"], bool)
        if beats == 0 or downbeats.ndim != 1 or downbeats.shape != whole.shape:
            raise InputError(
                f"{music} has {len(whole)} marks for {len(downbeats)} downbeats and {beats} beats: fetch it again"
            )
        downbeats = downbeats.astype(np.int64) // STEPS_PER_BEAT
        video = VideoTrack.stretched(
            _checked(_tensor(visual_file), self.visual_width, visual_file),
            _checked(load_npy(caption_file, self.trust), self.language_width, caption_file),
            read_shots(shot_file),
            beats,
        )
        return Song(song, _notes(arrays["notes"], music), beats, downbeats, downbeats[whole], video=video)

    def _top(self) -> Path:
        places = (self.root, self.root / "data", self.root.resolve().parent)
        return next((place for place in places if (place / SONGS).is_dir()), self.root)


def files_of(root: Path, song: str) -> tuple[Path, ...]:
    """The four files of a song: notes, visual features, caption features, shots."""
    names = (f"{SONGS}/{song}.npz", f"{VISUAL}/{song}.pth", f"{CAPTIONS}/{song}.npy", f"{SHOTS}/{song}_scenes.txt")
    return tuple(root / name for name in names)


def read_shots(path: Path) -> np.ndarray:
    """The starts of all shots but the first, (S - 1,), as fractions of the length of the video.

    Each line holds the first and last frame of a shot. If the lines are in another format, only their number counts and
    the shots are taken to be equally long. Raises InputError if the file cannot be read.
    """
    try:
        text = regular(path, LARGEST).read_text(encoding="utf-8")
    except (InputError, OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is missing or unreadable: fetch it again") from error
    lines = [line.split() for line in text.splitlines() if line.strip()]
    try:
        first, last = np.array(lines, np.float64).reshape(-1, 2).T
        share = (first / (last.max() + 1.0))[1:]
        if (np.diff(first) > 0).all() and (share > 0).all() and (share < 1).all():
            return share
    except ValueError:
        pass
    return np.arange(1, len(lines)) / max(len(lines), 1)


def _unusable() -> dict[str, str]:
    return read_list(SHIPPED / "bgm909" / "excluded.txt")


def _tensor(path: Path) -> np.ndarray:
    """A tensor or array file as an array, whatever its container; nothing in it is ever run, even if trusted."""
    try:
        content = load_torch(path)
    except InputError as refusal:
        start = path.open("rb").read(64).lstrip() if path.is_file() else b""
        if start.startswith((b"version https://git-lfs", b"<")):
            raise InputError(f"{path} is a Git LFS pointer or a web page, not the file: fetch it again") from refusal
        try:
            content = load_torch_arrays(path)
        except InputError:
            raise refusal from None
    if isinstance(content, torch.Tensor):
        return content.detach().float().numpy()
    if isinstance(content, np.ndarray) and content.dtype.kind in "fiu":
        return content.astype(np.float32)
    raise InputError(f"{path} holds a {type(content).__name__} where a tensor is needed: fetch it again")


def _checked(features: np.ndarray, width: int, path: Path) -> np.ndarray:
    """`features` (T, width). Raises InputError for any other shape and for values that are not finite."""
    if features.ndim != 2 or features.shape[1] != width or len(features) == 0:
        shape = " x ".join(map(str, features.shape))
        raise InputError(f"{path} has features of {shape} where rows of {width} are needed: extract or fetch it again")
    if not np.isfinite(features).all():
        raise InputError(f"{path} has features that are not finite: extract or fetch it again")
    return features


def _notes(tracks: np.ndarray, path: Path) -> Notes:
    """The notes of all tracks, with the part (lead or accompaniment) as their track."""
    parts = []
    for number, track in enumerate(tracks):
        part = LEAD if number < 2 else ACCOMPANIMENT  # melody, bridge, piano
        try:
            rows = np.asarray(list(track), np.float64).reshape(len(track), 5).astype(np.int64)
        except (TypeError, ValueError) as error:
            raise InputError(f"{path} has notes that are not rows of five numbers: fetch it again") from error
        onset, pitch, duration, velocity, _ = rows.T
        parts.append(Notes(onset, pitch, np.maximum(duration, 1), velocity, np.full(len(rows), part)))
    notes = Notes.concatenate(parts).sorted()
    if len(notes) and not (notes.onset.min() >= 0 and notes.pitch.min() >= 0 and notes.pitch.max() < 128):
        raise InputError(f"{path} has notes outside pitches 0 to 127 or before the song: fetch it again")
    return notes
