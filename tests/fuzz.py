"""Fuzz targets for all parsers: for any bytes, a parser returns a result or raises InputError, and nothing else.

    make fuzz                                    a minute, over all targets
    python tests/fuzz.py SECONDS [TARGET ...]    longer, or some of them; prints the executions of each

Each target takes bytes. Inputs are valid files with bytes flipped, removed, repeated and spliced, and random bytes; the
same seed yields the same inputs. tests/test_fuzz.py runs each target briefly.
"""

import io
import json
import pickle
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

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from diffbgm.app.cli import configure
from diffbgm.app.record import read_report
from diffbgm.datasets.bgm909 import read_shots
from diffbgm.datasets.splits import read_list, read_split
from diffbgm.datasets.unpickle import load_npy, load_npz, load_pickle
from diffbgm.errors import InputError
from diffbgm.generation.settings import sample_settings
from diffbgm.models.checkpoint import load_checkpoint, read_json
from diffbgm.models.config import checkpoint_config
from diffbgm.music.midi import read_midi
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


OBJECTS = np.array([{"a": 1}, [2, 3], None], object)
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
