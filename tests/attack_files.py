"""Bad checkpoints, MIDI files, data sets and arguments, given to commands as a user would."""

import io
import json
import os
import pickle
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mido
import numpy as np
import safetensors
import safetensors.torch
from attack_lay import EXACT, SAMPLE, TRAIN, Lay, broken_files, clip, odd_places, put, several
from attack_runner import Case
from bgm909_tree import write_song, write_split
from fuzz import TARGETS


def checkpoint_cases(top: Path, rng: np.random.Generator) -> Iterator[Case]:
    """Checkpoints that are damaged, hostile, or of another kind."""
    good = (top / "tiny.safetensors").read_bytes()
    with safetensors.safe_open(top / "tiny.safetensors", "pt") as file:
        about = json.loads(file.metadata()["config"])
    weights = safetensors.torch.load_file(top / "tiny.safetensors")

    def changed(*keys: str, value: Any) -> bytes:
        config = json.loads(json.dumps(about))
        inner = config
        for key in keys[:-1]:
            inner = inner.setdefault(key, {})
        inner[keys[-1]] = value
        return safetensors.torch.save(weights, {"config": json.dumps(config)})

    files = dict(broken_files(good[:30_000], rng, 12)) | {"a pickle": pickle.dumps({"a": 1}), "hostile": HOSTILE}
    files["a long header"] = (1 << 40).to_bytes(8, "little") + good[8:]
    files["no config"] = safetensors.torch.save(weights)
    files["a deep config"] = safetensors.torch.save(weights, {"config": "[" * 5000})
    files["NaN"] = safetensors.torch.save(
        {key: v * float("nan") for key, v in weights.items()}, {"config": json.dumps(about)}
    )
    files["few weights"] = safetensors.torch.save(dict(list(weights.items())[:5]), {"config": json.dumps(about)})
    for value in ("../../etc", "a b", 5, None, "x=1", "lite\nseed=1"):
        files[f"features {value!r}"] = changed("features", "name", value=value)
    for key, value in (
        ("n_res_blocks", 10**7),
        ("channels", -1),
        ("channels", 10**9),
        ("channels", 7),
        ("norm_groups", 0),
        ("attention_levels", [99]),
        ("channel_multipliers", []),
        ("channel_multipliers", [2] * 4000),
        ("_target_", "os.system"),
    ):
        files[f"unet.{key}={str(value)[:20]}"] = changed("model", "unet", key, value=value)
    for keys, value in (
        (("objective",), "os.system"),
        (("window",), 5),
        (("window",), "x"),
        (("schedule", "steps"), 10**12),
        (("sampling", "guidance"), "NaN"),
        (("sampling", "sampler"), {"_target_": "os.system", "command": "touch hacked"}),
        (("model", "conditioner", "visual_width"), -9),
        (("format",), 99),
        (("model",), 3),
        (("training",), []),
    ):
        files[f"{'.'.join(keys)}={str(value)[:20]}"] = changed(*keys, value=value)
    for what, content in files.items():
        codes = (
            (0, 1)
            if what.startswith("damaged")
            else (0, 1)
            if what in ("training=[]", "sampling.sampler={'_target_': 'os.syste")
            else (1,)
        )
        lay = several(put("c.safetensors", content), clip("v/good.mp4"))
        yield Case(
            f"checkpoint: {what}",
            (*SAMPLE[:2], "soundfont=builtin", "checkpoint=c.safetensors", "videos=v", "sampler.steps=2"),
            lay,
            codes,
        )
        if what in ("empty", "a pickle", "hostile", "NaN", "no config", "window=5"):
            codes = (0, 1) if what == "NaN" else (1,)
            yield Case(f"export: {what}", ("export", "c.safetensors", "x.safetensors"), lay, codes)
    for what, lay in odd_places("c.safetensors"):
        lay = several(lay, clip("v/good.mp4"))
        yield Case(
            f"checkpoint: {what}", (*SAMPLE[:2], "soundfont=builtin", "checkpoint=./c.safetensors", "videos=v"), lay
        )
        yield Case(f"export: {what}", ("export", "c.safetensors", "x.safetensors"), lay)
        yield Case(f"init: {what}", (*TRAIN, "out=r", "init=c.safetensors"), lay)
        yield Case(
            f"songs: {what}", ("songs", "data=generated", "data.cache=dc", "out=s", "checkpoint=./c.safetensors"), lay
        )


class _Hostile:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch hacked",)


HOSTILE = pickle.dumps(_Hostile())


def archive(**members: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for name, content in members.items():
            file.writestr(name, content)
    return buffer.getvalue()


def midi_cases(rng: np.random.Generator) -> Iterator[Case]:
    """Bad MIDI files for every command that reads one."""
    good = TARGETS["midi"][1][0]
    note = [mido.Message("note_on", note=60, velocity=80), mido.Message("note_off", note=60, time=1)]

    def file(resolution: int, *messages: Any) -> bytes:
        midi, buffer = mido.MidiFile(ticks_per_beat=resolution), io.BytesIO()
        midi.tracks.append(mido.MidiTrack(messages))
        midi.save(file=buffer)
        return buffer.getvalue()

    files = dict(broken_files(good, rng, 6))
    files["a note at beat 9,000,000"] = file(1, *note, mido.Message("note_on", note=60, time=9_000_000), *note)
    files["30,000 time signatures"] = file(
        480, *[mido.MetaMessage("time_signature", numerator=3, time=1)] * 30_000, *note
    )
    files["5,000 tempos"] = file(480, *[mido.MetaMessage("set_tempo", tempo=500_000, time=1)] * 5000, *note)
    files["no notes"] = file(480)
    files["many tracks"] = b"MThd\0\0\0\6\0\1\xff\xff\1\xe0" + b"MTrk\0\0\0\4\0\xff\x2f\0" * 20_000
    files["no resolution"] = good[:12] + b"\0\0" + good[14:]
    files["SMPTE"] = good[:12] + b"\xe7\x28" + good[14:]
    files["a long message"] = good[:22] + b"\0\xf0\xff\xff\xff\x7f" + good[22:]
    sample = (*SAMPLE, "videos=v")
    for what, content in files.items():
        codes = (0, 1) if what.startswith(("damaged", "cut", "SMPTE", "no res", "a long")) else (1,)
        yield Case(
            f"evaluate: MIDI {what}", ("evaluate", "generated=g", "out=e", *EXACT), put("g/a.mid", content), codes
        )
        lay = several(put("m.mid", content), clip("v/good.mp4"))
        yield Case(f"melody: MIDI {what}", (*sample, "melody=m.mid"), lay, codes)
        if not what.startswith("damaged"):
            yield Case(f"keep: MIDI {what}", (*sample, "keep=m.mid", "keep_bars=[1,1]"), lay, (0, 1))
            yield Case(
                f"prepare: MIDI {what}",
                ("prepare", "data=midi_folder", "data.root=g", "data.cache=dc"),
                put("g/a.mid", content),
            )
    beside = several(put("g/a.mid", b"x"), put("g/b.mid", good))
    yield Case(
        "evaluate: a bad song beside a good one",
        ("evaluate", "generated=g", "out=e", *EXACT),
        beside,
        (1,),
        ("e/songs.csv",),
        told=9,
    )
    for what, lay in odd_places("m.mid"):
        yield Case(f"melody: {what}", (*sample, "melody=m.mid"), several(lay, clip("v/good.mp4")))
    for what, lay in odd_places("g/a.mid"):
        yield Case(f"evaluate: {what}", ("evaluate", "generated=g", "out=e", *EXACT), lay)
        yield Case(f"prepare: {what}", ("prepare", "data=midi_folder", "data.root=g", "data.cache=dc"), lay)
    moods = {
        "empty": b"",
        "binary": rng.bytes(300),
        "no columns": b"a,b\n1,2\n",
        "nan": b"time,mood\nnan,calm\n",
        "order": b"time,mood\n9,calm\n1,happy\n",
        "words": b"time,mood\n0,xyzzy\n",
    }
    for what, content in moods.items():
        yield Case(
            f"moods: {what}", (*sample, "moods=m.csv"), several(put("m.csv", content), clip("v/good.mp4")), (0, 1)
        )
    for what, lay in odd_places("m.csv"):
        yield Case(f"moods: {what}", (*sample, "moods=m.csv"), several(lay, clip("v/good.mp4")))
    for what, lay in odd_places("f.sf2"):
        yield Case(f"soundfont: {what}", (*sample, "soundfont=./f.sf2"), several(lay, clip("v/good.mp4")))
    for what, content in broken_files(
        b"RIFF\xff\xff\xff\x7fsfbkLIST\x40\0\0\0INFOifil\4\0\0\0\2\0\4\0" + bytes(200), rng, 3
    ):
        yield Case(
            f"soundfont {what}", (*sample, "soundfont=./f.sf2"), several(put("f.sf2", content), clip("v/good.mp4"))
        )


def _replaced(pattern: str, content: bytes) -> Lay:
    return lambda folder: [path.write_bytes(content) for path in folder.rglob(pattern)]


def data_cases(rng: np.random.Generator) -> Iterator[Case]:
    """Data sets, splits, pickles, published weights, and what other commands read."""
    words = ("prepare", "data=bgm909", "data.root=b", "data.cache=dc", "data.split=b/split.pickle", "data.workers=1")

    def tree(damage: Lay) -> Lay:
        def lay(folder: Path) -> None:
            for name in ("001", "002"):
                write_song(folder / "b", name)
            write_split(folder / "b/split.pickle", ["001"], ["002"])
            damage(folder)

        return lay

    hostile = {"hostile": HOSTILE, "protocol 0": b"cos\nsystem\n(S'touch hacked'\ntR.", "deep": b"(" * 100_000 + b"."}
    hostile |= {
        "long": b"\x80\x04\x8e" + (1 << 60).to_bytes(8, "little"),
        "shared": b"\x80\x02]" + b"q\0" * 9000 + b".",
    }
    for what, content in (dict(broken_files(TARGETS["split_pickle"][1][1], rng, 6)) | hostile).items():
        codes = (0, 1) if what.startswith("damaged") else (1,)
        yield Case(f"split: {what}", words, tree(put("b/split.pickle", content)), codes)
    for ending, target in (("npz", "npz"), ("pth", None), ("npy", "npy"), ("txt", "scenes")):
        contents = dict(broken_files(TARGETS[target][1][0], rng, 3) if target else ()) | {"hostile": HOSTILE}
        for what, content in (contents | {"long": b"1 2\n" * 300_000}).items():
            yield Case(f"data .{ending}: {what}", words, tree(_replaced(f"001*.{ending}", content)), (0, 1))
    for what, lay in odd_places("b/split.pickle"):
        damage = several(lambda folder: (folder / "b/split.pickle").unlink(), lay)
        yield Case(f"split: {what}", words, tree(damage))
    for what, content in (
        dict(broken_files(archive(data=b"x"), rng, 3))
        | {"hostile": HOSTILE, "archive": archive(**{"a/data.pkl": HOSTILE, "a/version": b"3"})}
    ).items():
        yield Case(f"import: {what}", ("import", "w.pt", "x.safetensors"), put("w.pt", content))
    for what, lay in odd_places("w.pt"):
        yield Case(f"import: {what}", ("import", "w.pt", "x.safetensors"), lay)
    yield Case("import: another ending", ("import", "w.pt", "x.bin"), put("w.pt", b""), (2,))
    for words in (
        ("fetch",),
        ("fetch", "nothing"),
        ("import",),
        ("export",),
        ("export", "a", "b", "--guidance", "x"),
        ("smaple",),
    ):
        yield Case(f"words: {' '.join(words)}", words, codes=(2,))
    for words in (
        ("app", "--port", "x"),
        ("completion", "cmd"),
        ("index", "out=nowhere"),
        ("sample",),
        ("train", "experiment=none"),
        ("sample", "zzz=1"),
        ("sample", "word"),
        ("features", "videos=v"),
        ("evaluate", "generated=nowhere", "out=e"),
        ("prepare", "data=midi_folder", "data.root=nowhere"),
        ("prepare", "data.root=nowhere"),
        ("prepare-bgm909", "videos=nowhere", "pop909=p", "out=o"),
        ("card", "data=generated", "out=o", "checkpoint=nowhere"),
        ("songs", "data=generated", "out=o", "checkpoint=nowhere"),
        ("evaluate", "generated=.", "out=e"),
        ("sample", "videos=\0", "out=o"),
        ("sample", "videos=v", "out=\0"),
    ):
        yield Case(f"words: {' '.join(words)}", words, codes=(1,))
    for what, content in broken_files((Path(__file__).parent / "make_video.py").read_bytes(), rng, 0):
        yield Case(f"features of a video: {what}", ("features", "videos=v", "out=f"), put("v/bad.mp4", content))
        lay = several(
            clip("v/a.mp4"),
            put("g/a.mid", TARGETS["midi"][1][0]),
            put("v/b.mp4", content),
            put("g/b.mid", TARGETS["midi"][1][0]),
        )
        yield Case(
            f"evaluate: a video {what}",
            ("evaluate", "generated=g", "videos=v", "out=e", "metrics=[exact,alignment]", "workers=1"),
            lay,
            told=9,  # evaluate names each number that it cannot compute
        )
    report = json.dumps({"name": "a", "versions": {"diffbgm": "1"}}).encode()
    for what, content in broken_files(report, rng, 6):
        yield Case(f"index: a report {what}", ("index", "out=o/.."), put("a.json", content), (0, 1))
