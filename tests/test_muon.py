"""Muon compared with torch's implementation on matrices, and AdamW with torch's on other parameters."""

import pytest
import torch
from torch import nn

from diffbgm.training.muon import Muon, hidden_matrices, orthogonal


def _steps(parameter: nn.Parameter, optimizer: torch.optim.Optimizer, gradients: list[torch.Tensor]) -> torch.Tensor:
    for gradient in gradients:
        parameter.grad = gradient.reshape(parameter.shape).clone()
        optimizer.step()
    return parameter.detach()


@pytest.mark.parametrize("shape", [(48, 32), (16, 40), (24, 24)])
def test_matrices_move_as_by_torchs_muon(shape: tuple[int, int]) -> None:
    generator = torch.Generator().manual_seed(0)
    start = torch.randn(shape, generator=generator)
    gradients = [torch.randn(shape, generator=generator) for _ in range(5)]
    ours, theirs = (nn.Parameter(start.clone()) for _ in range(2))
    reference = torch.optim.Muon([theirs], lr=1e-2, weight_decay=0.1, adjust_lr_fn="match_rms_adamw")
    moved = _steps(ours, Muon([ours], [], 1e-2, (0.9, 0.999), 0.1), gradients)
    expected = _steps(theirs, reference, gradients)
    # torch iterates in bfloat16 (8 bits), ours in float32 on a CPU
    assert (moved - expected).norm() < 0.02 * (expected - start).norm()


def test_a_convolution_moves_as_its_matrix_does() -> None:
    generator = torch.Generator().manual_seed(1)
    start = torch.randn(8, 4, 3, 3, generator=generator)
    gradients = [torch.randn(8, 36, generator=generator) for _ in range(3)]
    kernel, matrix = nn.Parameter(start.clone()), nn.Parameter(start.flatten(1).clone())
    one = _steps(kernel, Muon([kernel], [], 1e-2, (0.9, 0.999), 0.0), gradients)
    two = _steps(matrix, Muon([matrix], [], 1e-2, (0.9, 0.999), 0.0), gradients)
    assert torch.equal(one.flatten(1), two)


def test_other_parameters_move_as_by_torchs_adamw() -> None:
    generator = torch.Generator().manual_seed(2)
    start = torch.randn(30, generator=generator)
    gradients = [torch.randn(30, generator=generator) for _ in range(5)]
    ours, theirs = (nn.Parameter(start.clone()) for _ in range(2))
    moved = _steps(ours, Muon([], [ours], 1e-2, (0.9, 0.99), 0.1), gradients)
    expected = _steps(theirs, torch.optim.AdamW([theirs], lr=1e-2, betas=(0.9, 0.99), weight_decay=0.1), gradients)
    torch.testing.assert_close(moved, expected)


@pytest.mark.parametrize("shape", [(12, 30), (30, 12)])
def test_singular_values_come_near_one(shape: tuple[int, int]) -> None:
    matrices = torch.randn(3, *shape, generator=torch.Generator().manual_seed(3))
    values = torch.linalg.svdvals(orthogonal(matrices))
    assert values.min() > 0.5
    assert values.max() < 1.3


def test_ends_and_norms_are_left_to_adamw() -> None:
    network = nn.Sequential(nn.Conv2d(2, 8, 3), nn.GroupNorm(2, 8), nn.Conv2d(8, 8, 3), nn.Linear(8, 2))
    assert [matrix.shape for matrix in hidden_matrices(network, ("0", "3"))] == [(8, 8, 3, 3)]
