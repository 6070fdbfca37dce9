"""The release's numbers, and the import of its checkpoint."""

import hashlib
import os
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from diffbgm.app.main import main
from diffbgm.datasets.batch import Condition
from diffbgm.diffusion.samplers import build_sampler, default_sampler
from diffbgm.diffusion.schedule import sqrt_linear
from diffbgm.errors import InputError
from diffbgm.generation.composer import Composer, ComposeSettings
from diffbgm.generation.request import Request
from diffbgm.models.checkpoint import Checkpoint, load_checkpoint
from diffbgm.models.release import UNET, build_unet, import_release, published_shapes
from diffbgm.models.unet import UNet
from diffbgm.music.midi import read_midi, write_midi
from diffbgm.video.features import BeatFeatures

ROOT = Path(__file__).resolve().parents[1]
GOLDEN = Path(__file__).parent / "golden" / "unet.npz"
SMALL = {**UNET, "channels": 32, "attention_levels": [1], "n_res_blocks": 1, "channel_multipliers": [1, 2]}
SMALL |= {"n_heads": 2, "d_cond": 32}
CASES: dict[str, tuple[dict[str, Any], int, tuple[int, ...], list[int], tuple[int, int]]] = {
    # config, seed of the inputs, shape of x, t, stride of the outputs kept
    "small": (SMALL, 1, (2, 2, 32, 32), [100, 700], (1, 1)),
    "paper": (UNET, 2, (1, 2, 128, 128), [450], (3, 5)),
}
# of the sorted "key [shape]" lines of the checkpoint that the authors published
PUBLISHED_KEYS = "e20cadc8f8918e4fb335e8ddbf17660ea543026dd2b6cf81eaac92d0674a0e1d"


def drawn(shapes: dict[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    """Weights that depend only on their key."""
    weights = {}
    for key, shape in shapes.items():
        a = np.random.default_rng(zlib.crc32(key.encode())).standard_normal(shape).astype(np.float32)
        if len(shape) > 1:
            weights[key] = a / np.float32(np.sqrt(np.prod(shape[1:])))
        else:
            weights[key] = np.float32(0.1) * a + np.float32(key.endswith("weight"))
    return weights


def shapes_of(config: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    with torch.device("meta"):
        return {key: tuple(value.shape) for key, value in UNet(**config).state_dict().items()}


def inputs(name: str) -> tuple[Tensor, Tensor, Tensor]:
    """x, t and the tokens that the release selects at t."""
    config, seed, shape, times, _ = CASES[name]
    rng = np.random.default_rng(seed)
    tokens = (shape[0], 32, config["d_cond"])
    x, language, visual = (
        torch.from_numpy(rng.standard_normal(size).astype(np.float32)) for size in (shape, tokens, tokens)
    )
    t = torch.tensor(times)
    return x, t, torch.where((t > 200)[:, None, None], language, visual)


@pytest.mark.parametrize("name", CASES)
def test_our_unet_is_the_release_s(name: str) -> None:
    config, *_, stride = CASES[name]
    unet = build_unet(config, drawn(shapes_of(config)), 1)
    x, t, tokens = inputs(name)
    with np.load(GOLDEN) as golden, torch.no_grad():
        wanted = {int(key.split("_w")[1]): golden[key] for key in golden.files if key.startswith(name)}
        assert set(wanted) == ({1, 2, 4, 8} if name == "small" else {1, 2, 4})
        for windows, eps in wanted.items():
            unet.num_windows = windows
            ours = unet(x, t, tokens)[..., :: stride[0], :: stride[1]].numpy()
            assert np.abs(ours - eps).max() < 1e-4


def test_windows_must_divide_the_tokens() -> None:
    unet = build_unet(SMALL, drawn(shapes_of(SMALL)), 5)
    with pytest.raises(InputError, match="32 condition tokens cannot be cut into 5"):
        unet(*inputs("small"))


def test_expected_keys_are_the_published_ones() -> None:
    lines = [f"{key} {list(shape)}" for key, shape in sorted(published_shapes().items())]
    assert len(lines) == 562
    assert hashlib.sha256("\n".join(lines).encode()).hexdigest() == PUBLISHED_KEYS


@pytest.fixture(scope="module")
def weights() -> dict[str, Tensor]:
    """A "model" entry as the authors publish it, with drawn weights."""
    shapes = {key: shape for key, shape in published_shapes().items() if shape != (1000,)}
    prefix = "ldm.eps_model."
    model = {
        prefix + key: value for key, value in drawn({k.removeprefix(prefix): s for k, s in shapes.items()}).items()
    }
    model = {key if key in shapes else key.removeprefix(prefix): torch.from_numpy(a) for key, a in model.items()}
    schedule = sqrt_linear()
    tables = {
        "alpha": 1 - schedule.beta,
        "beta": schedule.beta,
        "alpha_bar": schedule.alpha_bar,
        "sigma2": schedule.beta,
    }
    return {**{f"ldm.{key}": value.float() for key, value in tables.items()}, **model}


@pytest.fixture
def command() -> Callable[..., int]:
    """`diffbgm import`, given arguments."""
    return lambda *arguments: main(["import", *map(str, arguments)])


def test_import_down_to_a_prediction(
    weights: dict[str, Tensor], tmp_path: Path, command: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    source, target = tmp_path / "weights.pt", tmp_path / "release.safetensors"
    torch.save({"model": weights, "step": 5, "epoch": 1}, source)
    assert command(source, target) == 0
    assert "window 16 beats" in capsys.readouterr().out
    checkpoint = load_checkpoint(target)
    assert checkpoint.config.window == 16
    assert checkpoint.config.objective == "eps"
    assert checkpoint.config.sampling.guidance == 5
    assert checkpoint.config.features.name == "clip"

    # the same answer as the release's U-Net in 2 windows, with captions projected and gated as it does
    x, t = torch.randn(2, 2, 32, 16), torch.tensor([200, 201])
    visual, captions = torch.randn(2, 32, 512), torch.randn(2, 32, 768)
    valid = torch.arange(32) < torch.tensor([[32], [20]])
    condition = Condition(visual, captions, valid, torch.tensor([16, 16]))
    padded = torch.where(valid[1, :, None], captions[1], 0.0)
    language = torch.nn.functional.linear(padded, weights["caption_enc.weight"], weights["caption_enc.bias"])
    tokens = torch.stack([visual[0], language])
    prefix = "ldm.eps_model."
    unet = build_unet(UNET, {k.removeprefix(prefix): v for k, v in weights.items() if k.startswith(prefix)}, 2)
    with torch.no_grad():
        encoded = checkpoint.network.encode(condition)
        torch.testing.assert_close(checkpoint.network(x, t, encoded), unet(x, t, tokens), atol=1e-4, rtol=0)
        assert (checkpoint.network.conditioner.null(encoded).visual == -1).all()
    assert read_midi(sampled(checkpoint, tmp_path / "piece.mid"), require_notes=False).tempo == pytest.approx(120)


def sampled(checkpoint: Checkpoint, path: Path) -> Path:
    """A MIDI file of 9 beats of video, sampled as the release's guidance and schedule say, in few steps."""
    draw = np.random.default_rng(0)
    beats = BeatFeatures(
        visual=draw.standard_normal((9, 512), np.float32),
        language=draw.standard_normal((9, 768), np.float32),
        valid=np.ones(9, bool),
        captions=("a bike on a road",) * 9,
        cut=np.zeros(9, bool),
    )
    sampler = build_sampler("ddpm", steps=2, clip=(0.0, 1.0))
    composer = Composer(checkpoint, sampler, ComposeSettings(), torch.device("cpu"))
    *_, progress = composer.compose([Request(beats, (0,))])
    assert progress.rolls[0].shape == (2, 36, 128)
    assert torch.isfinite(progress.rolls[0]).all()
    write_midi(composer.notes(progress.rolls[0]), path)
    return path


@pytest.fixture
def small_release(monkeypatch: pytest.MonkeyPatch) -> dict[str, Tensor]:
    """The same layout with the small U-Net, for what does not depend on size."""
    monkeypatch.setattr("diffbgm.models.release.UNET", SMALL)
    schedule = sqrt_linear()
    model = {key: torch.zeros(shape) for key, shape in published_shapes().items()}
    return {**model, "ldm.beta": schedule.beta.float(), "ldm.alpha_bar": schedule.alpha_bar.float()}


def renamed(model: dict[str, Tensor]) -> None:
    model["ldm.eps_model.out.2.wait"] = model.pop("ldm.eps_model.out.2.weight")


def reshaped(model: dict[str, Tensor]) -> None:
    model["caption_enc.bias"] = torch.zeros(7)


def rescheduled(model: dict[str, Tensor]) -> None:
    model["ldm.beta"] = torch.linspace(1e-4, 0.02, 1000)


@pytest.mark.parametrize(("selector", "window"), [("language_video", 16), ("video", 16), ("language_video", 32)])
def test_all_three_published_models_are_imported(
    small_release: dict[str, Tensor], tmp_path: Path, selector: str, window: int
) -> None:
    source, target = tmp_path / "weights.pt", tmp_path / "ours.safetensors"
    torch.save({"model": small_release}, source)
    config = import_release(source, target, selector, window)
    assert (config.window, config.model.conditioner.selector.strategy) == (window, selector)
    checkpoint = load_checkpoint(target)
    composer = Composer(checkpoint, None, ComposeSettings(), torch.device("cpu"))
    assert composer.sampler == default_sampler("release")
    assert (composer.settings.guidance, composer.longform, composer.tempo) == (5.0, "independent", 120.0)
    tokens = torch.zeros(1, 32, 32), torch.ones(1, 32, 32)
    assert bool(checkpoint.network.conditioner.selector(*tokens, torch.tensor([900])).any()) == (selector == "video")
    with pytest.raises(InputError, match="not one of the published models"):
        import_release(source, target, "concat", 16)


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (renamed, r"1 missing: ldm\.eps_model\.out\.2\.weight; 1 extra: ldm\.eps_model\.out\.2\.wait"),
        (reshaped, r"1 misshapen: caption_enc\.bias \(7,\) instead of \(32,\)"),
        (rescheduled, r"ldm\.beta .* not the published noise schedule"),
    ],
)
def test_other_checkpoints_are_refused(
    small_release: dict[str, Tensor], tmp_path: Path, fault: Callable[[dict[str, Tensor]], None], message: str
) -> None:
    source, target = tmp_path / "weights.pt", tmp_path / "ours.safetensors"
    torch.save({"model": small_release}, source)
    import_release(source, target)
    target.unlink()
    fault(small_release)
    torch.save({"model": small_release}, source)
    with pytest.raises(InputError, match=message):
        import_release(source, target)
    assert not target.exists()


class Hostile:
    """It creates a folder if it is unpickled unsafely."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Callable[..., None], tuple[str]]:
        return os.mkdir, (str(self.folder),)


def test_a_hostile_pickle_is_refused_unread(small_release: dict[str, Tensor], tmp_path: Path) -> None:
    source, harm = tmp_path / "weights.pt", tmp_path / "harm"
    torch.save({"model": small_release, "epoch": Hostile(harm)}, source)
    with pytest.raises(InputError, match=r"weights\.pt was not loaded"):
        import_release(source, tmp_path / "ours.safetensors")
    assert not harm.exists()
    assert not (tmp_path / "ours.safetensors").exists()


@pytest.mark.parametrize("content", [b"", b"no pickle at all", b"PK\x03\x04"])
def test_what_is_no_torch_file(tmp_path: Path, content: bytes) -> None:
    source = tmp_path / "weights.pt"
    source.write_bytes(content)
    with pytest.raises(InputError, match=r"weights\.pt was not loaded"):
        import_release(source, tmp_path / "ours.safetensors")


def test_a_file_cut_short(small_release: dict[str, Tensor], tmp_path: Path) -> None:
    source = tmp_path / "weights.pt"
    torch.save({"model": small_release}, source)
    source.write_bytes(source.read_bytes()[:-1000])
    with pytest.raises(InputError, match="truncated"):
        import_release(source, tmp_path / "ours.safetensors")


@pytest.mark.parametrize("content", [{"weights": {}}, {"model": [1, 2]}, {"model": {"a": 1}}, [1]])
def test_no_model_entry(tmp_path: Path, content: Any) -> None:
    source = tmp_path / "weights.pt"
    torch.save(content, source)
    with pytest.raises(InputError, match='no "model" entry'):
        import_release(source, tmp_path / "ours.safetensors")


def test_a_missing_file_is_named_by_the_command(
    tmp_path: Path, command: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(tmp_path / "no.pt", tmp_path / "ours.safetensors") == 1
    errors = capsys.readouterr().err
    assert errors.startswith("error: there is no file")
    assert errors.count("\n") == 1
