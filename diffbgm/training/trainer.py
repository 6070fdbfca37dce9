"""The training loop, top to bottom. Accelerate handles devices, precision and processes; no device is named here.

A run is one folder: config.yaml (train.py writes it), log.jsonl, tensorboard/, checkpoints/ (state.py). Started again,
it continues from its newest state. The random numbers of step n are a function of (seed, n) (draws.py), so a resumed
run equals an uninterrupted one, and W processes with the same global batch equal one process.

Shape legend: B rows of this process, S steps of music, P pitches.
"""

import contextlib
import logging
import math
import signal
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import torch
from accelerate import Accelerator
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from diffbgm.datasets.batch import Batch
from diffbgm.diffusion.objective import Objective
from diffbgm.diffusion.schedule import Schedule
from diffbgm.errors import InputError
from diffbgm.models.checkpoint import save_checkpoint
from diffbgm.models.denoiser import Denoiser
from diffbgm.models.network import ENDS, DiffBGM
from diffbgm.prefetch import Prefetched
from diffbgm.training import state as states
from diffbgm.training.boards import board_names
from diffbgm.training.draws import Draws, draw
from diffbgm.training.optimize import MovingAverage, build_optimizer, learning_rate
from diffbgm.training.preview import Preview, picture, recalled
from diffbgm.training.settings import TrainerSettings
from diffbgm.training.tracking import Tracker, means
from diffbgm.training.validation import Validation

PRECISIONS = {"no": None, "bf16": torch.bfloat16, "fp16": torch.float16}  # accelerate's names -> autocast types

logger = logging.getLogger(__name__)


class Loader(Protocol):
    """Yields this process's share of each global batch (datasets.segments.SegmentLoader)."""

    def __len__(self) -> int: ...

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]: ...


class Trainer:
    """A training run in the folder `out`. `config` becomes the metadata of its checkpoints (models/checkpoint.py)."""

    def __init__(
        self,
        settings: TrainerSettings,
        accelerator: Accelerator,
        network: DiffBGM,
        objective: Objective,
        schedule: Schedule,
        loader: Loader,
        validation: Validation,
        preview: Preview,
        out: Path,
        config: Mapping[str, Any],
        seed: int,
    ) -> None:
        self.settings, self.accelerator, self.loader, self.seed = settings, accelerator, loader, seed
        self.objective, self.schedule, self.validation, self.preview = objective, schedule, validation, preview
        self.out, self.config = out, dict(config)
        self.steps = settings.steps or (settings.epochs or 1) * len(loader)
        layout = torch.channels_last if settings.channels_last else torch.contiguous_format
        self.raw = network.to(accelerator.device).to(memory_format=layout)
        self.average: MovingAverage[DiffBGM] = MovingAverage(self.raw, settings.ema)
        optimizer = build_optimizer(
            self.raw, settings.optimizer, settings.lr, settings.betas, settings.weight_decay, ENDS
        )
        compiled = torch.compile(self.raw) if settings.compile else self.raw
        self.network, self.optimizer = accelerator.prepare(compiled, optimizer)
        self.network.train()
        self.denoiser = Denoiser(self.network, objective, self.raw.self_condition)
        scaler = accelerator.scaler
        self.state = states.RunState(self.raw, self.average.network, self.optimizer, scaler)
        self.best = math.inf
        self.stopping = False

    def fit(self) -> bool:
        """Train to the last step. Returns True at the end, False if SIGTERM stopped it (saved, and can be resumed).

        Raises InputError if the loss or a weight is not finite, a checkpoint cannot be written, or `out` holds a run
        of another model.
        """
        every = self.settings
        done = self._resume()
        tracker = None
        if self.accelerator.is_main_process:
            tracker = Tracker(self.out, done, self.steps, every.batch_size, board_names(every.tracker))
        rows: list[dict[str, float]] = []
        losses: list[Tensor] = []
        norms: list[Tensor] = []
        saved = time.monotonic()
        closing = contextlib.closing(tracker) if tracker else contextlib.nullcontext()
        kernel = sdpa_kernel(SDPBackend.MATH) if every.attention == "math" else contextlib.nullcontext()
        with self._sigterm(), closing, kernel:
            for step, batch, draws in self._batches(done + 1):
                loss, norm, rate = self._step(step, batch, draws)
                rows.append({"step": step, "lr": rate})
                losses.append(loss)
                norms.append(norm)
                last = step == self.steps
                told = last or step % every.log_every == 0
                stop, late = self._agreed(told, time.monotonic() - saved > 60 * every.checkpoint_minutes)
                validate = last or step % every.validate_every == 0
                save = last or stop or late or step % every.checkpoint_every == 0
                if not (told or validate or save):
                    continue
                self._measure(rows, losses, norms)
                extra = self._validate(step, tracker) if validate else {}
                if tracker:
                    with states.disk_errors(tracker.path):
                        tracker.write(step, rows, extra)
                rows, losses, norms = [], [], []
                if save:
                    self._save(step)
                    saved = time.monotonic()
                if stop and not last:
                    logger.warning("stopped by SIGTERM: step %d is saved; the same command resumes from it", step)
                    return False
        return True

    def _batches(self, first: int) -> Iterator[tuple[int, Batch, Draws]]:
        """The steps from `first` to the last with their data and random numbers, prefetched to the device."""

        def produce() -> Iterator[tuple[int, Batch, Draws]]:
            per_epoch, step = len(self.loader), first
            while step <= self.steps:
                epoch, start = divmod(step - 1, per_epoch)
                for batch in self.loader.epoch(epoch, start):
                    if step > self.steps:
                        return
                    first_row = self.accelerator.process_index * len(batch)
                    draws = draw(
                        self.seed,
                        step,
                        range(first_row, first_row + len(batch)),
                        self.settings.batch_size,
                        batch.roll.shape[1:],
                        len(self.schedule),
                        self.settings.condition_dropout,
                        self.settings.stratified,
                    )
                    device = self.accelerator.device
                    yield step, batch.to(device, non_blocking=True), draws.to(device)
                    step += 1

        return iter(Prefetched(produce()))

    def _step(self, step: int, batch: Batch, draws: Draws) -> tuple[Tensor, Tensor, float]:
        """One optimizer step. Returns loss and gradient norm (both still on the device) and the learning rate."""
        settings = self.settings
        torch.manual_seed(hash((self.seed, step, self.accelerator.process_index)))  # for layers that draw numbers
        rate = learning_rate(step, self.steps, settings.lr, settings.warmup, settings.decay)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        size = len(batch) // settings.accumulate
        total = torch.zeros((), device=batch.roll.device)
        for piece in range(settings.accumulate):
            rows = slice(piece * size, (piece + 1) * size)
            x0, t, eps = batch.roll[rows], draws.t[rows], draws.eps[rows]
            condition = batch.condition[rows]
            final = piece == settings.accumulate - 1
            with contextlib.nullcontext() if final else self.accelerator.no_sync(self.network):
                losses = self.denoiser.loss(x0, eps, t, condition, draws.drop[rows], draws.self_condition)
                loss = losses.mean() / settings.accumulate
                self.accelerator.backward(loss)
            total += loss.detach()
        norm = self.accelerator.clip_grad_norm_(self.network.parameters(), settings.clip)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.average.update(self.raw, step)
        return total, norm.detach(), rate

    def _measure(self, rows: list[dict[str, float]], losses: list[Tensor], norms: list[Tensor]) -> None:
        """Move the losses of an interval to the host, averaged over processes.

        Raises InputError if a loss or a weight is not finite.
        """
        loss, norm = self.accelerator.reduce(means(losses, norms), "mean").tolist()
        for row, one, two in zip(rows, loss, norm, strict=True):
            row |= {"loss": one, "grad_norm": two}
            if not math.isfinite(one):
                raise self._diverged(f"the loss at step {int(row['step'])} is {one}")
        # The loss is that of the weights before the update, so the updated weights have to be checked themselves.
        if not all(bool(torch.isfinite(parameter).all()) for parameter in self.raw.parameters()):
            raise self._diverged(f"the weights after step {int(rows[-1]['step'])} are not finite")

    def _diverged(self, what: str) -> InputError:
        newest = states.newest(self._checkpoints)
        kept = f"{newest.parent} is intact" if newest else "nothing has been saved yet"
        return InputError(
            f"{what}: training stops and {kept}; run again with a lower trainer.lr or trainer.precision=bf16 or fp32"
        )

    def _validate(self, step: int, tracker: Tracker | None) -> dict[str, float]:
        """The losses of the averaged network. The best one so far is exported, and previews are made when due."""
        if tracker:
            tracker.pause()
        losses = self.validation(Denoiser(self.average.network, self.objective), self.accelerator)
        if tracker and losses["val_loss"] < self.best:
            self._export("best", step, losses["val_loss"])
        self.best = min(self.best, losses["val_loss"])
        logger.info("step %d: validation loss %.5f", step, losses["val_loss"])
        shown = self._preview(step, tracker) if tracker and step % self.settings.preview_every == 0 else {}
        if tracker:
            tracker.resume()
        return losses | shown

    def _preview(self, step: int, tracker: Tracker) -> dict[str, float]:
        """Sample the first validation conditions, log them above the real rolls, and count notes."""
        batch = self.validation.first(self.settings.previews).to(self.accelerator.device)
        dtype = PRECISIONS[self.accelerator.mixed_precision]
        rolls = self.preview.rolls(self.average.network, self.schedule, batch.condition, dtype)
        notes, real = self.preview.notes(rolls), self.preview.notes(batch.roll)
        sounds = [self.preview.sound(piece) for piece in notes]
        tracker.previews(step, picture(torch.cat([rolls, batch.roll])), sounds, self.preview.sample_rate)
        return {
            "preview_notes": sum(map(len, notes)) / len(notes),
            "preview_recall": sum(map(recalled, notes, real)) / len(notes),
        }

    @property
    def _checkpoints(self) -> Path:
        return self.out / "checkpoints"

    def _save(self, step: int) -> None:
        """Save the state and last.safetensors in the main process, then delete the oldest states."""
        if self.accelerator.is_main_process:
            states.save_state(self._checkpoints, step, self.state, self.config, self.best)
            self._export("last", step, None)
            states.retain(self._checkpoints, self.settings.keep)
        self.accelerator.wait_for_everyone()

    def _export(self, name: str, step: int, val_loss: float | None) -> None:
        """Write the averaged weights as a checkpoint that sample.py reads."""
        training = {**self.config["training"], "step": step, "segments": step * self.settings.batch_size}
        training |= {} if val_loss is None else {"val_loss": val_loss}
        config = {**self.config, "training": training}
        save_checkpoint(self._checkpoints / f"{name}.safetensors", self.average.network.state_dict(), config)

    def check_out(self) -> None:
        """Raise InputError if `out` holds a run of another model. Nothing is written."""
        newest = states.newest(self._checkpoints)
        if newest is None:
            return
        before = states.read_about(newest)["config"]
        changed = states.differences(states.identity(before), states.identity(self.config))
        if changed:
            raise InputError(
                f"{self.out} holds a run of another model ({'; '.join(changed)}): give another out= or the old settings"
            )

    def _resume(self) -> int:
        """Restore the newest state and return its step; 0 without one. Raises InputError if it is another model's."""
        self.check_out()
        newest = states.newest(self._checkpoints)
        if newest is None:
            return 0
        about = states.load_state(newest, self.state)
        self.best = math.inf if about["best"] is None else about["best"]
        logger.info("continuing %s after step %d", self.out, about["step"])
        return about["step"]

    def _agreed(self, told: bool, late: bool) -> tuple[bool, bool]:
        """(stop, save), agreed on by all processes. They communicate only at steps where `told` is true."""
        if self.accelerator.num_processes == 1:
            return self.stopping, late
        if not told:
            return False, False
        flags = torch.tensor([self.stopping, late], dtype=torch.float32, device=self.accelerator.device)
        stop, save = self.accelerator.reduce(flags, "sum").tolist()
        return stop > 0, save > 0

    @contextlib.contextmanager
    def _sigterm(self) -> Iterator[None]:
        """Inside this context, SIGTERM requests a stop after the current step."""

        def ask(*_: object) -> None:
            self.stopping = True

        before = signal.signal(signal.SIGTERM, ask)
        try:
            yield
        finally:
            signal.signal(signal.SIGTERM, before)
