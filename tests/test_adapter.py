"""The U-Net for rolls: its size, its options, and what it cannot distinguish."""

from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf

from diffbgm.errors import InputError
from diffbgm.models.adapter import OUTSIDE_LOGIT, RollUNet, pack_cells, rows_of, unpack_cells

CONFIGS = Path(__file__).resolve().parents[1] / "configs" / "model"
SMALLEST = {"channels": 32, "attention_levels": [1], "n_res_blocks": 1, "channel_multipliers": [1, 1], "d_cond": 16}


def options(name: str) -> dict[str, Any]:
    plain = OmegaConf.to_container(OmegaConf.load(CONFIGS / f"{name}.yaml").unet)
    assert isinstance(plain, dict)
    return plain


def count(unet: RollUNet) -> int:
    return sum(parameter.numel() for parameter in unet.parameters())


def awake(unet: RollUNet) -> RollUNet:
    """Draw all weights at random, so that every branch has an effect."""
    generator = torch.Generator().manual_seed(0)
    for parameter in unet.parameters():
        parameter.data = 0.1 * torch.randn(parameter.shape, generator=generator)
    return unet.eval()


def inputs(batch: int = 2, steps: int = 32, pitches: int = 16, d_cond: int = 16) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(1)
    shapes = [(batch, 2, steps, pitches), (batch, 32, d_cond), (batch, 32, d_cond)]
    x, tokens, beats = (torch.randn(shape, generator=generator) for shape in shapes)
    return x, torch.tensor([100, 700, 300])[:batch], tokens, beats


def test_paper_model_has_the_paper_s_size() -> None:
    with torch.device("meta"):
        assert count(RollUNet(**options("paper"))) == 41_082_370  # 41.08 M


def test_sizes_of_the_other_models() -> None:
    with torch.device("meta"):
        assert count(RollUNet(**options("small"))) == 7_312_384
        assert count(RollUNet(**options("tiny"))) < 500_000


@pytest.mark.parametrize("name", ["small", "tiny"])
def test_a_fresh_network_predicts_its_output_bias(name: str) -> None:
    unet = RollUNet(**options(name))
    x = torch.randn(1, unet.planes, 128, 128)
    tokens = torch.randn(1, 32, unet.d_cond)
    y = unet(x, torch.tensor([500]), tokens, 8, tokens)
    assert y.shape == x.shape
    assert (y[..., 20:108] == -4).all()
    assert (y[..., :20] == OUTSIDE_LOGIT).all()
    assert (y[..., 108:] == OUTSIDE_LOGIT).all()


def test_pitches_outside_are_not_seen() -> None:
    unet = awake(RollUNet(**SMALLEST, pitches=(4, 12), output_bias=-4.0))
    x, t, tokens, _ = inputs()
    other = x.clone()
    other[..., :4], other[..., 12:] = 7.0, 7.0
    assert torch.equal(unet(x, t, tokens, 8), unet(other, t, tokens, 8))


def test_packing_keeps_every_cell() -> None:
    x = torch.arange(2 * 2 * 8 * 6.0).reshape(2, 2, 8, 6)
    packed = pack_cells(x, (4, 2))
    assert packed.shape == (2, 16, 2, 3)
    assert torch.equal(packed[0, :8, 1, 2], x[0, 0, 4:8, 4:6].flatten())
    assert torch.equal(unpack_cells(packed, (4, 2)), x)


@pytest.mark.parametrize("masked", [False, True])
def test_windows_differ_per_sample(masked: bool) -> None:
    unet = awake(RollUNet(**SMALLEST, mask_self_attention=masked))
    x, t, tokens, _ = inputs(3)
    with torch.no_grad():
        together = unet(x, t, tokens, torch.tensor([8, 32, 2]))
        for row, window in enumerate((8, 32, 2)):
            one = slice(row, row + 1)
            torch.testing.assert_close(together[one], unet(x[one], t[one], tokens[one], window), atol=1e-5, rtol=0)
        assert (together - unet(x, t, tokens, 8))[1].abs().max() > 1e-4


def test_without_positions_the_order_inside_a_window_is_unknown() -> None:
    """As in the release, alignment is by window; with positions or beat_condition it is by beat."""
    x, t, tokens, _ = inputs()
    swapped = tokens.clone()
    swapped[:, [8, 13]] = tokens[:, [13, 8]]
    with torch.no_grad():
        plain = awake(RollUNet(**SMALLEST))
        torch.testing.assert_close(plain(x, t, tokens, 8), plain(x, t, swapped, 8), atol=1e-5, rtol=0)
        placed = awake(RollUNet(**SMALLEST, positions=True))
        assert (placed(x, t, tokens, 8) - placed(x, t, swapped, 8)).abs().max() > 1e-4


@pytest.mark.parametrize(("steps", "rows"), [(32, 1), (128, 4), (16, 0.5)])
def test_beat_condition_reaches_the_first_map_at_its_beat(steps: int, rows: float) -> None:
    unet = RollUNet(**SMALLEST, beat_condition=True)
    assert unet.beat is not None
    torch.nn.init.eye_(unet.beat.weight)
    beats = torch.zeros(1, 32, 16)
    beats[0, 10, 3] = 1
    added = rows_of(unet.beat(beats), steps)[0, :, :, 0]  # (C, H)
    expected = torch.zeros(32, steps)
    expected[3, int(10 * rows) : int(10 * rows) + max(1, int(rows))] = min(1.0, rows)
    torch.testing.assert_close(added, expected)


def test_beat_condition_changes_nothing_at_first_and_needs_beats() -> None:
    x, t, tokens, beats = inputs()
    unet = RollUNet(**SMALLEST, beat_condition=True)
    torch.nn.init.normal_(unet.out[2].weight)
    assert torch.equal(unet(x, t, tokens, 8, beats), unet(x, t, tokens, 8, 2 * beats))
    with torch.no_grad():
        unet.beat.weight.fill_(0.1)
    assert not torch.equal(unet(x, t, tokens, 8, beats), unet(x, t, tokens, 8, 2 * beats))


def test_memory_format_and_bf16_change_only_rounding() -> None:
    unet = awake(RollUNet(**options("tiny")))
    x, t, tokens, beats = inputs(2, 128, 128, 32)
    with torch.no_grad():
        plain = unet(x, t, tokens, 8, beats)
        with torch.autocast("cpu", torch.bfloat16):
            low = unet(x, t, tokens, 8, beats)
        last = unet.to(memory_format=torch.channels_last)(x, t, tokens, 8, beats)
    assert low.dtype == torch.float32
    torch.testing.assert_close(last, plain, atol=1e-4, rtol=1e-4)
    seen = slice(20, 108)
    assert (low - plain)[..., seen].std() < 0.03 * plain[..., seen].std()


def test_time_is_felt_where_norm_groups_hold_several_channels() -> None:
    """Normalising each channel on its own would remove what the time embedding adds to it."""
    x, t, tokens, beats = inputs()
    moved = {}
    for groups in (8, 32):
        unet = awake(RollUNet(**SMALLEST, positions=True, beat_condition=True, norm_groups=groups))
        unet(x, t, tokens, 8, beats).square().mean().backward()
        moved[groups] = {name: parameter.grad.abs().max().item() for name, parameter in unet.named_parameters()}
    assert min(moved[8].values()) > 0
    assert min(value for name, value in moved[8].items() if "emb_layers" in name) > 1e-5
    assert max(value for name, value in moved[32].items() if "emb_layers" in name) < 1e-6


@pytest.mark.parametrize("wrong", [{"channels": 34}, {"pitches": (20, 107)}, {"n_heads": 3}, {"norm_groups": 12}])
def test_numbers_that_do_not_divide_are_named(wrong: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=next(iter(wrong))):
        RollUNet(**{**SMALLEST, **wrong})
