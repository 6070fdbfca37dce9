"""The files of a video's music: NAME.mid -> NAME.wav -> NAME.mp4, with NAME.png and NAME.json.

They are made in a hidden folder beside their place and moved there together, so that a video has all of its results or
none.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from importlib import import_module
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np

from diffbgm.app.record import claimed, read_report
from diffbgm.files import Staging, json_bytes, staged
from diffbgm.generation.music import Music
from diffbgm.generation.progress import Stage
from diffbgm.music.audio import write_wav


def warm_up() -> None:
    """Import what the last steps of a piece need in a thread of its own, while the first ones compute."""

    def load() -> None:
        for name in ("matplotlib.backends.backend_agg", "matplotlib.figure"):
            import_module(name)

    Thread(target=load, daemon=True).start()


def write_takes(
    takes: Sequence[Music], name: str, out: Path, stage: Stage, made_from: Mapping[str, Any] | None = None
) -> list[dict[str, Any]]:
    """Write every take of a video's music into `out` and return what each NAME.json holds.

    The first take is NAME, the others NAME.take2, NAME.take3, ...; `made_from` goes into each json. InputError where
    something cannot be written; then nothing of the take is left.
    """
    reports = []
    with ExitStack() as stack:
        for place, music in enumerate(takes):
            title = name if place == 0 else f"{name}.take{place + 1}"
            old = claimed(read_report(Path(out, f"{title}.json")))
            staging = stack.enter_context(staged(out, title, old))
            record = {} if made_from is None else {"made_from": dict(made_from)}
            found = _write(music, staging, stage)
            reports.append({"name": title, **found, "files": [*staging.endings(), "json"], **record})
            (staging / "json").write_bytes(json_bytes(reports[-1]))
    return reports


def _write(music: Music, staging: Staging, stage: Stage) -> dict[str, Any]:
    """All files of a take except the JSON, and what the JSON will report."""
    seconds = {name: taken for name, taken in music.seconds.items()}
    length = max(round(music.duration), 1)  # seconds

    @contextmanager
    def timed(name: str, amount: int) -> Iterator[None]:
        begin = time.perf_counter()
        with stage(name, amount) as advance:
            yield
            advance(amount)
        seconds[name] = time.perf_counter() - begin

    with timed("sound", length):
        music.save(staging / "mid")
        music.save(staging / "wav")
        for part, sound in music.stems.items():
            write_wav(staging / f"{part}.wav", sound, music.sample_rate)
    with timed("mux", length):
        mix = music.save_video(staging / "mp4")
    with timed("picture", 1):
        music.save(staging / "png")
    if music.states is not None:
        np.savez_compressed(staging / "states.npz", t=music.states.t, x=music.states.x, x0=music.states.x0)
    return music.report() | {
        "mix": mix,
        "stems": list(music.stems),
        "seconds": seconds | {"total": sum(seconds.values())},
    }
