"""Fuzz targets for all parsers: for any bytes, a parser returns a result or raises InputError, and nothing else.

    make fuzz                                    a minute, over all targets
    python tests/fuzz.py SECONDS [TARGET ...]    longer, or some of them; prints the executions of each

Each target takes bytes. Inputs are valid files with bytes flipped, removed, repeated and spliced, and random bytes; the
same seed yields the same inputs. tests/test_fuzz.py runs each target briefly.
"""

import io
import json
import pickle
import struct
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pretty_midi
import safetensors.torch
import torch
from omegaconf import OmegaConf

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from small_sf2 import compressed, small_sf2

from diffbgm.app.cli import configure
from diffbgm.app.record import read_report
from diffbgm.datasets.annotations import read_annotations
from diffbgm.datasets.bgm909 import read_shots
from diffbgm.datasets.pop909 import read_beats, read_chords, read_mode
from diffbgm.datasets.splits import read_list, read_split
from diffbgm.datasets.unpickle import load_npy, load_npz, load_pickle
from diffbgm.errors import InputError
from diffbgm.evaluation.figures import KeptStates
from diffbgm.evaluation.patches import read_arrays
from diffbgm.generation.settings import sample_settings
from diffbgm.models.checkpoint import load_checkpoint, read_json
from diffbgm.models.config import checkpoint_config
from diffbgm.music.audio import render_bytes
from diffbgm.music.harmony import parse_chords
from diffbgm.music.key import Key
from diffbgm.music.midi import read_midi
from diffbgm.music.mood import Moods, read_moods
from diffbgm.music.riff import SAMPLE_HEADER
from diffbgm.music.soundfont import _cached, small_soundfont
from diffbgm.training.state import read_about
from diffbgm.video.features import VideoFeatures
from diffbgm.video.folder import find_sources

FOLDER = Path(tempfile.mkdtemp(prefix="diffbgm-fuzz-"))
CONFIG = {
    "model": {
        "unet": {
            "channels": 8,
            "norm_groups": 2,
            "attention_levels": [0],
            "n_res_blocks": 1,
            "channel_multipliers": [1],
        }
        | {"d_cond": 8},
        "conditioner": {"visual_width": 9, "language_width": 4, "selector": {"strategy": "language_video"}},
    },
    "features": {"name": "lite", "visual_width": 9, "language_width": 4},
    "objective": "eps",
    "format": 1,
    "sampling": {"guidance": 2.0, "sampler": {"_target_": "x", "name": "dpm", "steps": 10, "clip": [0, 1]}},
}


def on_file(read: Callable[[Path], object], ending: str) -> Callable[[bytes], None]:
    """A parser of files as a target."""
    path = FOLDER / f"input{ending}"

    def target(content: bytes) -> None:
        path.write_bytes(content)
        read(path)

    return target


def config_target(content: bytes) -> None:
    try:
        given = read_json(content.decode(errors="replace"))
    except ValueError:
        return
    checkpoint_config(given)


def settings_target(content: bytes) -> None:
    words = content.decode(errors="replace").split("\n")
    config = configure("sample", ["videos=a", "out=b", *(word for word in words if word)])
    sample_settings(OmegaConf.to_container(config))  # type: ignore[arg-type]


def soundfont_target(content: bytes) -> None:
    """What the renderer is given must point nowhere out of itself; some of it is heard, too."""
    path = FOLDER / "input.sf2"
    path.write_bytes(content)
    _cached.cache_clear()  # it knows a file by its time, which is the same for a few of these
    for programs in ([0], None):
        small = small_soundfont(path, programs)
        at = small.rindex(b"shdr")
        headers = np.frombuffer(small[at + 8 :], SAMPLE_HEADER)[:-1].astype(SAMPLE_HEADER)
        values = struct.unpack_from("<I", small, small.index(b"smpl") + 4)[0] // 2
        for sample in headers:
            start, end, low, high = (int(sample[name]) for name in ("start", "end", "loop_start", "loop_end"))
            assert 0 <= start <= low < high <= end <= values, sample
    if len(content) % 16 == 0:
        render_bytes(TUNE, path, [0])


def spelled(texts: list[str]) -> np.ndarray:
    """Vectors of unit length in place of a language model's."""
    rows = np.array([[1.0, *(text.count(letter) for letter in "aeinorst")] for text in texts])
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def moods_target(content: bytes) -> None:
    path = FOLDER / "moods.csv"
    path.write_bytes(content)
    curve = read_moods(path, Moods(spelled)).at(np.arange(8.0))
    assert np.all(np.abs(curve) <= 1 + 1e-9)


def each(*attempts: Callable[[], object]) -> None:
    """Each of several readings; the last refusal, where all refuse."""
    refusals = []
    for attempt in attempts:
        try:
            attempt()
        except InputError as error:
            refusals.append(error)
    assert not any("\n" in str(error) for error in refusals), refusals
    if len(refusals) == len(attempts):
        raise refusals[-1]


def annotations_target(content: bytes) -> None:
    """As a table, as metadata in JSON, as captions, and as shots."""

    def read(name: str) -> None:
        place = FOLDER / f"tree-{Path(name).name}" / "bgm909" / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
        read_annotations(place.parents[len(Path(name).parts)])

    names = ("metadata.csv", "metadata.json", "captions/001.json", "captions/001.txt", "detection/001_scenes.txt")
    each(*(lambda name=name: read(name) for name in names))  # type: ignore[misc]


def rows_target(content: bytes) -> None:
    (FOLDER / "rows").mkdir(exist_ok=True)
    (FOLDER / "rows/001.npy").write_bytes(content)
    read_arrays(FOLDER / "rows")


def words_target(content: bytes) -> None:
    """Chords, a key and moods, as settings name them."""
    text = content.decode(errors="replace")[:2000]
    each(lambda: parse_chords(text), lambda: Key.parse(text[:16]), lambda: Moods(spelled).of(text[:200]))


def midi_bytes(notes: int = 8) -> bytes:
    midi = pretty_midi.PrettyMIDI()
    part = pretty_midi.Instrument(0)
    part.notes = [pretty_midi.Note(80, 60 + k % 12, k / 2, k / 2 + 0.4) for k in range(notes)]
    midi.instruments.append(part)
    midi.time_signature_changes = [pretty_midi.TimeSignature(3, 4, 1.0)] if notes == 8 else []
    buffer = io.BytesIO()
    midi.write(buffer)
    return buffer.getvalue()


def saved(write: Callable[[io.BytesIO], object]) -> bytes:
    buffer = io.BytesIO()
    write(buffer)
    return buffer.getvalue()


def features_bytes() -> bytes:
    path = FOLDER / "seed.npz"
    shots = np.array([[0.0, 1.0]])
    VideoFeatures(
        np.zeros((3, 9), np.float32), 4.0, ("a",), np.zeros((1, 4), np.float32), shots, ("x",), 1.0, "lite"
    ).save(path)
    return path.read_bytes()


def checkpoint_bytes() -> bytes:
    return safetensors.torch.save({"weight": torch.ones(3)}, {"config": json.dumps(CONFIG)})


TUNE = midi_bytes(2)
FONT = small_sf2([({8: 6000, 43: 0x7F00}, [(0x502, 8, -2400)])], length=200)  # a filter that velocity opens
STATES = {"t": np.array([999, 0]), "x": np.zeros((2, 2, 16, 128), np.float16)}
OBJECTS = np.array([{"a": 1}, [2, 3], None], object)
TIMES = np.arange(8.0)
REPORT = {"name": "a", "versions": {"diffbgm": "1"}, "made_from": {"settings": {}, "video": "0"}}
TARGETS: dict[str, tuple[Callable[[bytes], None], list[bytes]]] = {
    "midi": (on_file(read_midi, ".mid"), [midi_bytes()]),
    "scenes": (on_file(read_shots, ".txt"), [b"0 49\n50 74\n75 99\n", b"shot one\nshot two\n"]),
    "split": (on_file(read_list, ".list"), [b"001 # why\n002\n\n#003\n"]),
    "split_pickle": (
        on_file(lambda path: read_split(str(path)), ".pkl"),
        [pickle.dumps((["001.npz"], ["002.npz"]), k) for k in (0, 2, 4)],
    ),
    "pickle": (
        on_file(load_pickle, ".pickle"),
        [pickle.dumps({"a": [np.arange(3), "x", 2.5, {1}], "b": OBJECTS}, k) for k in range(6)],
    ),
    "npy": (on_file(load_npy, ".npy"), [saved(lambda f: np.save(f, np.eye(3))), saved(lambda f: np.save(f, OBJECTS))]),
    "npz": (on_file(load_npz, ".npz"), [saved(lambda f: np.savez(f, a=np.eye(2), b=OBJECTS))]),
    "features": (on_file(VideoFeatures.load, ".npz"), [features_bytes()]),
    "checkpoint": (on_file(load_checkpoint, ".safetensors"), [checkpoint_bytes()]),
    "config": (config_target, [json.dumps(CONFIG).encode()]),
    "report": (on_file(read_report, ".json"), [json.dumps(REPORT).encode()]),
    "list": (on_file(find_sources, ".txt"), [b"a.mp4\nb/c.mp4\n# x\n"]),
    "soundfont": (soundfont_target, [FONT, compressed(FONT)]),
    "moods": (moods_target, [b"time,mood\n0,calm\n10,dark and epic\n", b"time, valence,arousal\n0,0.5,-1\n2.5,-1,1\n"]),
    "beats": (on_file(read_beats, ".txt"), [b"".join(b"%d.5 %d %d\n" % (k, k % 2, k % 4 == 0) for k in range(9))]),
    "chords": (
        on_file(lambda path: each(lambda: read_chords(path, TIMES), lambda: read_mode(path, TIMES)), ".txt"),
        [b"0.0 2.0 N\n2.0\t4.0\tC:maj\n4 6 A:min7/b7\n", b"0.0 6.5 Gb:maj\n"],
    ),
    "annotations": (
        annotations_target,
        [b'[{"id": "001", "style": "epic"}]', b"id,Style\n1,epic\n", b'["the sea"]', b"0 49\n50 74\n"],
    ),
    "state": (
        on_file(read_about, ".safetensors"),
        [safetensors.torch.save({"network.a": torch.ones(2)}, {"about": json.dumps({"step": 3, "config": CONFIG})})],
    ),
    "rows": (rows_target, [saved(lambda f: np.save(f, np.eye(3)))]),
    "states": (on_file(KeptStates.load, ".npz"), [saved(lambda f: np.savez(f, x0=STATES["x"], **STATES))]),
    "words": (words_target, [b"C G Am F#m7/B", b"F# minor", b"calm, hopeful and dark"]),
    "settings": (settings_target, [b"seed=3\ntempo=96", b"compose.guidance=2\nsampler=ddim\nsampler.steps=5"]),
}
ODD = [b"\x00", b"\xff" * 4, b"\x7f\xff\xff\xff", b"9" * 20, b"-1", b"nan", b"../", b"[" * 50, b'"', b"\n", b"{}"]


def mutated(seeds: list[bytes], rng: np.random.Generator) -> bytes:
    """One input."""
    content = bytearray(seeds[rng.integers(len(seeds))])
    for _ in range(rng.integers(1, 6)):
        at = int(rng.integers(len(content) + 1))
        match rng.integers(6):
            case 0 if len(content) > at:
                content[at] ^= 1 << int(rng.integers(8))
            case 1 if len(content) > at:
                content[at] = int(rng.integers(256))
            case 2:
                del content[at : at + int(rng.integers(1, 20))]
            case 3:
                content[at:at] = ODD[rng.integers(len(ODD))]
            case 4:
                content[at:at] = content[int(rng.integers(len(content) + 1)) :][:50]
            case _:
                content[at : at + 4] = rng.bytes(4)
    return bytes(content) if rng.random() > 0.02 else rng.bytes(int(rng.integers(200)))


def fuzz(name: str, seconds: float, most: int | None = None, seed: int = 0) -> int:
    """Run a target; returns the number of executions. Exceptions other than InputError are raised with their input."""
    target, seeds = TARGETS[name]
    rng = np.random.default_rng(seed)
    for content in seeds:
        target_once(name, target, content)
    end, count = time.monotonic() + seconds, 0
    while time.monotonic() < end and (most is None or count < most):
        target_once(name, target, mutated(seeds, rng))
        count += 1
    return count


def target_once(name: str, target: Callable[[bytes], None], content: bytes) -> None:
    """One execution."""
    try:
        target(content)
    except InputError as error:
        if "\n" in str(error):
            raise ValueError(f"{name}, {content!r}: more than a line: {error}") from error
    except BaseException as error:
        error.add_note(f"target {name}, input {content!r}")
        raise


if __name__ == "__main__":
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 60.0
    chosen = sys.argv[2:] or list(TARGETS)
    seed = int(time.time())
    counts = {name: fuzz(name, seconds / len(chosen), seed=seed) for name in chosen}
    print(json.dumps({"seed": seed, "executions": counts, "total": sum(counts.values())}))
