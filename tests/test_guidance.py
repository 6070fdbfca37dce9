"""Classifier-free guidance: the formula, and the number of network calls."""

import pytest
import torch

from diffbgm.diffusion.guidance import guided


class Network:
    """Answers 5 x with the condition (the first rows) and 2 x without, and counts."""

    def __init__(self, rows: int) -> None:
        self.rows, self.asked = rows, []

    def __call__(self, x, t, *extra):
        assert len(x) == len(t)
        self.asked.append(len(x))
        self.extra = extra
        return torch.cat([5 * x[: self.rows], 2 * x[self.rows :]])


X = torch.randn(3, 2, 4, 4, generator=torch.Generator().manual_seed(0))
T = torch.tensor([900, 500, 100])


@pytest.mark.parametrize("scale", [0.0, 0.5, 2.0, 5.0])
def test_the_formula_in_one_call_of_both_halves(scale):
    network = Network(3)
    torch.testing.assert_close(guided(network, scale)(X, T), (2 + scale * 3) * X)
    assert network.asked == [6]


def test_scale_one_is_the_conditional_alone():
    network = Network(3)
    assert torch.equal(guided(network, 1.0)(X, T), 5 * X)
    assert network.asked == [3]


def test_which_rows_are_meant_is_handed_on():
    network, rows = Network(3), torch.tensor([4, 1, 0])
    guided(network, 2.0)(X, T, rows)
    assert network.extra[0] is rows
