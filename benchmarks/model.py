"""How fast a training step is: forward, backward and update of a model, beside the machine's own matrix products.

    python -m benchmarks model [--models small paper] [--batch 16] [--device cpu] [--wall]

`share` is the step's FLOP rate over that of a plain matrix product in the same precision, measured just before it, so
that numbers from different machines can be compared. Give --wall for a GPU or several threads.
"""

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import torch
from omegaconf import OmegaConf
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.harness import Clock, Row, clock, parser, rate, seconds, show
from diffbgm.datasets.batch import Condition
from diffbgm.evaluation.report import mean_of
from diffbgm.models.network import DiffBGM, build_network
from diffbgm.shipped import CONFIGS

WIDTHS = {"visual_width": 9, "language_width": 384}
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


def model_config(name: str) -> dict[str, Any]:
    """configs/model/NAME.yaml with the widths of the lite features and the paper's selector."""
    config = OmegaConf.create({"selector": OmegaConf.load(CONFIGS / "selector" / "language_video.yaml")})
    config.model = OmegaConf.load(CONFIGS / "model" / f"{name}.yaml")
    config.model.conditioner.update(WIDTHS)
    plain = OmegaConf.to_container(config, resolve=True)
    assert isinstance(plain, dict)
    return plain["model"]


def inputs(planes: int, batch: int, device: torch.device) -> tuple[torch.Tensor, torch.Tensor, Condition]:
    """A noisy roll, times and a condition of random numbers."""
    beats = 32
    condition = Condition(
        torch.rand(batch, beats, WIDTHS["visual_width"]),
        torch.randn(batch, beats, WIDTHS["language_width"]),
        torch.ones(batch, beats, dtype=torch.bool),
        torch.full((batch,), 8),
    )
    x, t = torch.randn(batch, planes, 128, 128), torch.randint(0, 1000, (batch,))
    return x.to(device), t.to(device), condition.to(device)


def flops(network: DiffBGM) -> tuple[float, float]:
    """FLOPs of one segment's forward pass, and of its forward and backward pass."""
    counts = []
    for train in (False, True):
        x, t, condition = inputs(network.planes, 1, torch.device("cpu"))
        with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH), torch.set_grad_enabled(train):
            prediction = network(x, t, condition)
            if train:
                prediction.square().mean().backward()
        counts.append(float(counter.get_total_flops()))
    network.zero_grad(set_to_none=True)
    return counts[0], counts[1]


def train_step(network: DiffBGM, batch: int, dtype: torch.dtype, device: torch.device) -> Callable[[], None]:
    """A closure that makes one step on random numbers."""
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-4)
    x, t, condition = inputs(network.planes, batch, device)
    target = torch.randn_like(x)

    def step() -> None:
        low = torch.autocast(device.type, dtype) if dtype != torch.float32 else nullcontext()
        with low:
            loss = (network(x, t, condition) - target).square().mean()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step


def measure(name: str, batch: int, repeats: int, size: int, device: torch.device, now: Clock) -> list[Row]:
    """A row for each precision and memory format of one model."""
    config, rows = model_config(name), []
    counted = build_network(config)
    forward_flops, step_flops = flops(counted)
    about = {
        "model": name,
        "parameters": sum(parameter.numel() for parameter in counted.parameters()),
        "forward GFLOP": round(forward_flops / 1e9, 2),
    }
    for dtype_name, dtype in DTYPES.items():
        a, b = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
        for layout in (torch.contiguous_format, torch.channels_last):
            torch.manual_seed(0)
            network = build_network(config).to(device).to(memory_format=layout)
            product = 2 * size**3 / min(seconds(lambda a=a, b=b: torch.mm(a, b), 5, now, device))  # type: ignore[misc]
            taken = seconds(train_step(network, batch, dtype, device), repeats, now, device)
            row = {"precision": dtype_name, "layout": str(layout).removeprefix("torch."), "batch": batch}
            share = batch * step_flops / min(taken) / product
            rows.append({**about, **row, "step s": mean_of(taken), "segments/s": rate(taken, batch), "share": share})
    return rows


def main() -> None:
    """Measure the models, print."""
    options = parser(__doc__)
    options.add_argument("--models", nargs="+", default=None, help="names in configs/model (default: small paper)")
    options.add_argument("--batch", type=int, default=None, help="segments a step (default: 16, paper 2)")
    options.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    given = options.parse_args()
    device, size = torch.device(given.device), 256 if given.quick else 2048
    repeats = min(given.repeats, 2) if given.quick else given.repeats
    rows = []
    for name in given.models or (["tiny"] if given.quick else ["small", "paper"]):
        batch = given.batch or (2 if given.quick or (name == "paper" and device.type == "cpu") else 16)
        rows += measure(name, batch, repeats, size, device, clock(given.wall or device.type == "cuda"))
    show("model", rows, device=str(device), matmul_size=size)
