"""How fast a training step is: forward, backward and update of a model, beside the machine's own matrix products.

    python scripts/bench_model.py [--quick] [--models small paper] [--batch 16] [--device cpu]

Prints a table, then one JSON line. `share` is the step's FLOP rate over that of a plain matrix product in the same
precision, measured just before it, so that numbers from different machines can be compared. On a machine that others
use too, OMP_NUM_THREADS=1 with --cpu-time counts this process's own seconds instead of the clock's.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from omegaconf import OmegaConf
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from diffbgm.datasets.batch import Condition  # noqa: E402
from diffbgm.models.network import DiffBGM, build_network  # noqa: E402

WIDTHS = {"visual_width": 9, "language_width": 384}
Clock = Callable[[], float]
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


def model_config(name: str) -> dict[str, Any]:
    """configs/model/NAME.yaml with the widths of the lite features and the paper's selector."""
    config = OmegaConf.create({"selector": OmegaConf.load(ROOT / "configs/selector/language_video.yaml")})
    config.model = OmegaConf.load(ROOT / f"configs/model/{name}.yaml")
    config.model.conditioner.update(WIDTHS)
    plain = OmegaConf.to_container(config, resolve=True)
    assert isinstance(plain, dict)
    return plain["model"]


def inputs(batch: int, device: torch.device, window: int = 8) -> tuple[torch.Tensor, torch.Tensor, Condition]:
    """A noisy roll, times and a condition of random numbers."""
    beats = 32
    condition = Condition(
        torch.rand(batch, beats, WIDTHS["visual_width"]),
        torch.randn(batch, beats, WIDTHS["language_width"]),
        torch.ones(batch, beats, dtype=torch.bool),
        torch.full((batch,), window),
    )
    return (
        torch.randn(batch, 2, 128, 128, device=device),
        torch.randint(0, 1000, (batch,), device=device),
        condition.to(device),
    )


def seconds(work: Callable[[], object], repeats: int, device: torch.device, clock: Clock) -> float:
    """The shortest time of `work` after one call to warm up: what the machine does when nobody else is at it."""
    times = []
    for index in range(repeats + 1):
        start = clock()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        if index:
            times.append(clock() - start)
    return min(times)


def matmul_rate(dtype: torch.dtype, device: torch.device, size: int, repeats: int, clock: Clock) -> float:
    """FLOP/s of a square matrix product."""
    a, b = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    return 2 * size**3 / seconds(lambda: torch.mm(a, b), repeats, device, clock)


def flops(network: DiffBGM) -> tuple[float, float]:
    """FLOPs of one segment's forward pass, and of its forward and backward pass."""
    counts = []
    for train in (False, True):
        x, t, condition = inputs(1, torch.device("cpu"))
        with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH), torch.set_grad_enabled(train):
            prediction = network(x, t, condition)
            if train:
                prediction.square().mean().backward()
        counts.append(float(counter.get_total_flops()))
    network.zero_grad(set_to_none=True)
    return counts[0], counts[1]


def train_step(network: nn.Module, batch: int, dtype: torch.dtype, device: torch.device) -> Callable[[], None]:
    """A closure that makes one step on random numbers."""
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-4)
    x, t, condition = inputs(batch, device)
    target = torch.randn_like(x)

    def step() -> None:
        low = torch.autocast(device.type, dtype) if dtype != torch.float32 else nullcontext()
        with low:
            loss = (network(x, t, condition) - target).square().mean()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step


def measure(name: str, batch: int, repeats: int, size: int, device: torch.device, clock: Clock) -> list[dict[str, Any]]:
    """A row for each precision and memory format of one model."""
    config, rows = model_config(name), []
    counted = build_network(config)
    forward_flops, step_flops = flops(counted)
    parameters = sum(parameter.numel() for parameter in counted.parameters())
    for dtype_name, dtype in DTYPES.items():
        for layout in ("contiguous", "channels_last"):
            torch.manual_seed(0)
            network = build_network(config).to(device)
            if layout == "channels_last":
                network = network.to(memory_format=torch.channels_last)
            product = matmul_rate(dtype, device, size, 5, clock)
            taken = seconds(train_step(network, batch, dtype, device), repeats, device, clock)
            rate = batch * step_flops / taken
            rows.append(
                {
                    "model": name,
                    "parameters": parameters,
                    "forward_gflop": round(forward_flops / 1e9, 2),
                    "dtype": dtype_name,
                    "layout": layout,
                    "batch": batch,
                    "step_s": round(taken, 4),
                    "segments_per_s": round(batch / taken, 2),
                    "gflops": round(rate / 1e9, 1),
                    "matmul_gflops": round(product / 1e9, 1),
                    "share": round(rate / product, 3),
                }
            )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="the tiny model, few repeats: seconds instead of minutes")
    parser.add_argument("--models", nargs="+", default=None, help="names in configs/model (default: small paper)")
    parser.add_argument("--batch", type=int, default=None, help="segments a step (default: 16, paper 2)")
    parser.add_argument(
        "--repeats", type=int, default=None, help="timed steps, of which the fastest counts (default: 5)"
    )
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--cpu-time", action="store_true", help="count this process's seconds (one thread, CPU)")
    arguments = parser.parse_args()
    clock = time.process_time if arguments.cpu_time else time.perf_counter
    device, repeats = torch.device(arguments.device), arguments.repeats or (2 if arguments.quick else 5)
    size = 512 if arguments.quick else 2048
    rows = []
    for name in arguments.models or (["tiny"] if arguments.quick else ["small", "paper"]):
        batch = arguments.batch or (2 if name == "paper" and device.type == "cpu" else 16)
        rows += measure(name, batch, repeats, size, device, clock)
    print(f"{device}, {torch.get_num_threads()} threads; matrix products of {size} x {size}")
    print("| " + " | ".join(rows[0]) + " |")
    print("|" + "---|" * len(rows[0]))
    for row in rows:
        print("| " + " | ".join(str(value) for value in row.values()) + " |")
    print(json.dumps({"matmul_size": size, "rows": rows}))


if __name__ == "__main__":
    main()
