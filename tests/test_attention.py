"""Windows and attention against their definitions."""

import pytest
import torch
import torch.nn.functional as F

from diffbgm.models.attention import Attention, GatedGelu, SpatialTransformer, TransformerBlock, Windows, sinusoid

CPU = torch.device("cpu")


def by_definition(rows: int, beats: int, window: int, own: bool) -> torch.Tensor:
    """(rows, rows or beats): True where the beats that row i covers share a window with those of j."""

    def windows(index: int, count: int) -> set[int]:
        touched = {
            beat for beat in range(beats) if index * beats < (beat + 1) * count and beat * count < (index + 1) * beats
        }
        return {beat // window for beat in touched}

    others = rows if own else beats
    return torch.tensor(
        [[bool(windows(i, rows) & windows(j, others)) for j in range(others)] for i in range(rows)], dtype=torch.bool
    )


@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize(("rows", "window"), [(32, 8), (8, 8), (8, 2), (16, 1), (16, 5), (64, 12), (11, 4), (8, 32)])
def test_mask_is_the_definition(rows: int, window: int, own: bool) -> None:
    mask = Windows(window, 32).mask(rows, 1, own, CPU)
    assert torch.equal(mask[0, 0], by_definition(rows, 32, window, own))


def test_mask_per_sample_and_per_column() -> None:
    mask = Windows(torch.tensor([8, 32, 99]), 32).mask(16, 3, False, CPU)
    assert mask.shape == (3, 1, 48, 32)
    assert torch.equal(mask[0, 0], by_definition(16, 32, 8, False).repeat_interleave(3, dim=0))
    assert mask[1].all()
    assert mask[2].all()


def test_masks_are_built_once() -> None:
    windows = Windows(torch.tensor([8, 4]), 32)
    assert windows.mask(16, 2, True, CPU) is windows.mask(16, 2, True, CPU)


@pytest.mark.parametrize(
    ("window", "rows", "groups"), [(8, 16, 4), (16, 16, 2), (32, 8, 1), (40, 8, 1), (2, 8, None), (12, 16, None)]
)
def test_groups_only_where_the_cut_is_even(window: int, rows: int, groups: int | None) -> None:
    assert Windows(window, 32).groups(rows) == groups


def test_groups_and_mask_agree() -> None:
    torch.manual_seed(0)
    block = TransformerBlock(32, 4, 16, mask_self_attention=True)
    x, tokens = torch.randn(2, 16 * 3, 32), torch.randn(2, 32, 16)
    cut = block(x, tokens, Windows(8, 32), 16)
    masked = block(x, tokens, Windows(torch.tensor([8, 8]), 32), 16)
    torch.testing.assert_close(cut, masked, atol=1e-5, rtol=0)


@pytest.mark.parametrize("window", [8, torch.tensor([8, 8])])
def test_music_hears_only_its_own_window(window: int | torch.Tensor) -> None:
    torch.manual_seed(0)
    block = TransformerBlock(32, 4, 16, mask_self_attention=True)
    x, tokens = torch.randn(2, 16, 32), torch.randn(2, 32, 16)
    changed = tokens.clone()
    changed[:, 8:16] += 1  # the second of four windows: rows 4 to 7 of 16
    difference = (block(x, changed, Windows(window, 32), 16) - block(x, tokens, Windows(window, 32), 16)).abs()
    assert difference[:, 4:8].amax(dim=2).min() > 1e-3
    assert difference[:, :4].max() == 0
    assert difference[:, 8:].max() == 0


def test_self_attention_is_free_unless_masked() -> None:
    torch.manual_seed(0)
    x, tokens = torch.randn(1, 16, 32), torch.randn(1, 32, 16)
    changed = x.clone()
    changed[:, 0] += 1
    for masked in (False, True):
        block = TransformerBlock(32, 4, 16, mask_self_attention=masked)
        reached = (block(changed, tokens, Windows(16, 32), 16) - block(x, tokens, Windows(16, 32), 16))[0, 8:].abs()
        assert (reached.max() == 0) == masked


def test_attention_to_equal_tokens_is_their_value() -> None:
    torch.manual_seed(0)
    attention = Attention(32, 16, heads=4)
    token = torch.randn(1, 1, 16)
    y = attention(torch.randn(1, 6, 32), token.expand(1, 12, 16), groups=3)
    torch.testing.assert_close(y, attention.to_out(attention.to_v(token)).expand(1, 6, 32), atol=1e-6, rtol=0)


def test_gate_is_the_second_half() -> None:
    layer = GatedGelu(1, 1)
    with torch.no_grad():
        layer.proj.weight.copy_(torch.tensor([[2.0], [3.0]]))
        layer.proj.bias.zero_()
    torch.testing.assert_close(layer(torch.ones(1, 1)), 2 * F.gelu(torch.tensor([[3.0]])))


def test_sinusoid_is_cosines_then_sines() -> None:
    code = sinusoid(torch.tensor([0, 5]), 8)
    assert torch.equal(code[0], torch.tensor([1.0] * 4 + [0.0] * 4))
    frequency = 10_000.0 ** -(torch.arange(4) / 4)
    torch.testing.assert_close(code[1], torch.cat([(5 * frequency).cos(), (5 * frequency).sin()]))


def test_transformer_begins_as_the_identity() -> None:
    x = torch.randn(1, 32, 8, 4)
    layer = SpatialTransformer(32, 4, 1, 16, mask_self_attention=False, positions=True)
    assert torch.equal(layer(x, torch.randn(1, 32, 16), Windows(8, 32)), x)
