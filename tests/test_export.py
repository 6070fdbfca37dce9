"""The file to ship: half-precision weights with the sampling settings that were chosen for them."""

from pathlib import Path

import pytest
import torch

from diffbgm.app.export import main
from diffbgm.diffusion.couplings import Couplings
from diffbgm.models.checkpoint import load_checkpoint

SHIPPED = Path(__file__).resolve().parents[1] / "pretrained" / "diffbgm-lite.safetensors"


def test_sampling_settings_are_stored_and_others_stay(tmp_path: Path) -> None:
    target = tmp_path / "mine.safetensors"
    chosen = ["--form", "free", "--pivots", "0.1", "0.3", "--voices", "1", "4", "--couplings.returns", "0"]
    assert main([str(SHIPPED), str(target), *chosen, "--couplings.tones", "0.25", "--note", "by hand"]) == 0
    before, after = (load_checkpoint(path) for path in (SHIPPED, target))
    sampling, usual = after.config.sampling, before.config.sampling
    assert (sampling.form, sampling.pivots, sampling.voices) == ("free", (0.1, 0.3), (1, 4))
    assert sampling.couplings == Couplings(returns=0.0, tones=0.25).completed(usual.couplings)
    assert (sampling.temperature, sampling.sampler) == (usual.temperature, usual.sampler)
    assert after.config.training["note"] == "by hand"
    pairs = zip(before.network.state_dict().values(), after.network.state_dict().values(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


def test_an_unknown_sampling_setting_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main([str(SHIPPED), str(tmp_path / "mine.safetensors"), "--couplings.nothing", "1"])
    assert "--couplings.nothing" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
