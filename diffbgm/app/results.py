"""The files of a video's music: NAME.mid -> NAME.wav -> NAME.mp4, with NAME.png and NAME.json.

They are made in a hidden folder and moved into place together, so that a video has all of its results or none.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from diffbgm.app.record import ORIGINAL, claimed, read_report
from diffbgm.files import Staging, json_bytes, staged
from diffbgm.generation.music import Music
from diffbgm.generation.progress import Stage
from diffbgm.music.audio import write_wav
from diffbgm.video.features import Advance


def write_takes(
    takes: Sequence[Music], name: str, out: Path, stage: Stage, made_from: Mapping[str, Any] | None = None
) -> list[dict[str, Any]]:
    """Write every take of a video's music into `out` and return what each NAME.json holds.

    The first take is NAME, the others NAME.take2, NAME.take3, ...; `made_from` goes into each json. Raises InputError
    if something cannot be written; then nothing of the take is left.
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
    """Write all files of a take except the JSON, and return what the JSON will hold."""
    seconds = {name: taken for name, taken in music.seconds.items()}
    length = max(round(music.duration), 1)  # seconds

    @contextmanager
    def timed(name: str, amount: int) -> Iterator[Advance]:
        begin, done = time.perf_counter(), 0

        def count(more: int) -> None:
            nonlocal done
            more = min(more, amount - done)
            done += more
            advance(more)

        with stage(name, amount) as advance:
            yield count
            count(amount - done)  # what rounding left
        seconds[name] = time.perf_counter() - begin

    stems = music.renderings if music.settings.stems else 0
    with timed("sound", length * (music.renderings + 1 + stems)) as advance:  # each sound is rendered, then written
        music.save(staging / "mid")
        music.render(lambda done: advance(done * length))
        for ending, sound in {
            "wav": music.audio,
            **{f"{part}.wav": stem for part, stem in music.stems.items()},
        }.items():
            write_wav(staging / ending, sound, music.sample_rate)
            advance(length)
    with timed("mux", length) as advance:
        mix = music.save_video(staging / "mp4", staging / ORIGINAL, advance)
    with timed("picture", 1):
        music.save(staging / "png")
    if music.states is not None:
        np.savez_compressed(staging / "states.npz", t=music.states.t, x=music.states.x, x0=music.states.x0)
    return music.report() | {
        "mix": mix,
        "stems": list(music.stems),
        "seconds": seconds | {"total": sum(seconds.values())},
    }
