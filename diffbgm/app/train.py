"""Train a model; the same command resumes a run that was stopped.

    diffbgm train experiment=pop909_lite data.root=POP909 [out=runs/NAME key=value ...]
    accelerate launch train.py experiment=paper data=bgm909 data.root=BGM909         several GPUs (docs/training.md)

The folder `out` gets config.yaml, log.jsonl (a line a step), tensorboard/ and checkpoints/.
"""

import logging
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from tqdm import tqdm

from diffbgm.datasets.cache import Cache
from diffbgm.datasets.prepare import prepare
from diffbgm.datasets.segments import SegmentLoader
from diffbgm.diffusion.objective import build_objective, sampling_objective
from diffbgm.diffusion.schedule import sqrt_linear
from diffbgm.errors import InputError
from diffbgm.fields import check
from diffbgm.files import atomic, not_foreign
from diffbgm.generation.loading import open_checkpoint
from diffbgm.models.config import checkpoint_config
from diffbgm.models.network import DiffBGM, build_network
from diffbgm.training import state as states
from diffbgm.training.lock import only_one
from diffbgm.training.preview import Preview
from diffbgm.training.settings import TrainerSettings, check_data, check_run
from diffbgm.training.trainer import Trainer
from diffbgm.training.validation import Validation

STOPPED = 143  # exit code after SIGTERM, as a shell reports it


def train(config: DictConfig) -> int:
    """Train as `config` (configs/train.yaml) says. 0 when the last step is reached, 143 after SIGTERM."""
    settings = check(TrainerSettings, config.trainer, "trainer")
    check_run(config)
    accelerator = build_accelerator(settings)
    with only_one(Path(config.out)) if accelerator.is_main_process else nullcontext():
        return _train(config, settings, accelerator)


def _train(config: DictConfig, settings: TrainerSettings, accelerator: Accelerator) -> int:
    """The run, in a folder that no other process writes."""
    logging.basicConfig(level=logging.INFO if accelerator.is_main_process else logging.ERROR, format="%(message)s")
    out = Path(config.out)
    not_foreign(out / "config.yaml", lambda text: "\ntrainer:" in text)
    not_foreign(out / "log.jsonl", lambda text: not text or text.startswith('{"step": '))
    cache = open_cache(config.data, accelerator)
    loader = build_loader(config, cache, settings, accelerator)
    others = {name: open_cache(data, accelerator) for name, data in config.also.items()}
    about = describe(config, loader)
    torch.manual_seed(config.seed)
    network = build_network(about["model"])
    if config.init is not None:
        about["training"]["init"] = begin(network, config.init, out, about)
    schedule = sqrt_linear(**config.schedule).to(accelerator.device)
    how = checkpoint_config(about).sampling
    sampled = sampling_objective(config.objective.name, schedule, how)
    trainer = Trainer(
        settings=settings,
        accelerator=accelerator,
        network=network,
        objective=build_objective(config.objective.name, schedule),
        schedule=schedule,
        loader=loader,
        validation=build_validation(config, {cache.manifest["source"]: cache, **others}, settings),
        preview=Preview(instantiate(config.sampler), sampled, how.guidance, how.threshold, config.seed),
        out=out,
        config=about,
        seed=config.seed,
    )
    trainer.check_out()
    if accelerator.is_main_process:
        with atomic(out / "config.yaml") as temporary:
            OmegaConf.save(config, temporary)
    parameters = sum(parameter.numel() for parameter in network.parameters())
    logging.info(
        "%s: %.2f M parameters, %d training segments, %d steps of %d segments on %d x %s",
        out,
        parameters / 1e6,
        len(loader.segments),
        trainer.steps,
        settings.batch_size,
        accelerator.num_processes,
        accelerator.device.type,
    )
    try:
        return 0 if trainer.fit() else STOPPED
    finally:
        accelerator.end_training()


def begin(network: DiffBGM, init: str, out: Path, about: dict[str, Any]) -> str | None:
    """Put the weights of the checkpoint `init` into a fresh network, unless `out` holds a run to go on with.

    Returns the file's SHA-256. Layers that it lacks keep their first values. InputError where it is no checkpoint of
    ours, was trained with another mask or window, or holds layers that the network lacks or has in other shapes.
    """
    newest = states.newest(out / "checkpoints")
    if newest is not None:
        return checkpoint_config(states.read_about(newest)["config"]).training.get("init")
    source = open_checkpoint(init)
    try:
        lacking = network.load_state_dict(source.network.state_dict(), strict=False)
        if lacking.unexpected_keys:
            raise RuntimeError(f"it has {', '.join(lacking.unexpected_keys[:3])}")
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"init={init} has another architecture ({reason}); give its model= and features") from error
    layers = dict.fromkeys(".".join(key.split(".")[:2]) for key in lacking.missing_keys)
    if layers:
        logging.info("%s lacks %s: freshly drawn", init, ", ".join(layers))
    others = unlike(source.config.plain(), about)
    if others:
        raise InputError(f"init={init} was trained otherwise ({'; '.join(others)}); give these settings, or no init=")
    for key in ("objective", "schedule"):
        if (before := source.config.plain()[key]) != about[key]:
            logging.warning("%s was trained with %s %s, not %s", init, key, before, about[key])
    return source.sha256


def unlike(source: Mapping[str, Any], about: Mapping[str, Any]) -> list[str]:
    """Where a checkpoint's attention differs from a run's in what no weight shows: masks and windows."""
    masks = [config["model"]["unet"].get("mask_self_attention", False) for config in (source, about)]
    named = {"model.unet.mask_self_attention": masks, "data.window": [source["window"], about["window"]]}
    pairs = {key: [str(value).lower() for value in pair] for key, pair in named.items()}
    return [f"{key}={theirs}, here {ours}" for key, (theirs, ours) in pairs.items() if theirs != ours]


def build_accelerator(settings: TrainerSettings) -> Accelerator:
    """Devices, precision and processes as launcher and settings say. InputError where they do not go together."""
    share, rest = divmod(settings.batch_size, settings.accumulate)
    precision = settings.precision
    if precision == "auto":
        precision = "bf16" if torch.cuda.is_available() else "fp32"
    unused = DistributedDataParallelKwargs(find_unused_parameters=True)  # selectors leave a modality out
    try:
        accelerator = Accelerator(mixed_precision="no" if precision == "fp32" else precision, kwargs_handlers=[unused])
    except ValueError as error:
        raise InputError(
            f"trainer.precision={precision} does not work on this machine ({error}); bf16 and fp32 run anywhere"
        ) from error
    if precision == "fp16" and accelerator.device.type == "cpu":
        raise InputError("trainer.precision=fp16 needs a GPU, and there is none here; give bf16 or fp32")
    if rest or share % accelerator.num_processes:
        raise InputError(
            f"trainer.batch_size={settings.batch_size} does not divide into {accelerator.num_processes} processes "
            f"times trainer.accumulate={settings.accumulate}; choose a multiple"
        )
    return accelerator


def open_cache(data: DictConfig, accelerator: Accelerator) -> Cache:
    """The prepared data, made by the first process of each machine if it is missing."""
    source = instantiate(data.source)
    with accelerator.local_main_process_first():
        path = prepare(source, data.cache, data.workers, lambda items, total: tqdm(items, "songs", total, disable=None))
    return Cache.open(path)


def build_loader(
    config: DictConfig, cache: Cache, settings: TrainerSettings, accelerator: Accelerator
) -> SegmentLoader:
    """Training batches of this process's share of the global batch."""
    data, unet = check_data(config.data, "data"), config.model.unet
    return SegmentLoader(
        cache,
        "train",
        settings.batch_size // accelerator.num_processes,
        config.seed,
        data.transpose,
        data.noise if data.perturb else None,
        data.theme if unet.get("theme_condition", False) else None,
        data.reference if unet.get("reference_condition", False) else None,
        unet.in_channels,
        accelerator.process_index,
        accelerator.num_processes,
        data.window,
        settings.training_segments,
    )


def build_validation(config: DictConfig, caches: dict[str, Cache], settings: TrainerSettings) -> Validation:
    """Fixed segments of every dataset, as they are. InputError where a dataset has features of other widths."""
    batches = {}
    for name, cache in caches.items():
        loader = SegmentLoader(
            cache,
            settings.validation_split,
            min(16, settings.validation_segments),
            config.seed,
            transpose=(0, 0),
            noise=None,
            planes=config.model.unet.in_channels,
            window=config.data.window,
            limit=settings.validation_segments,
        )
        batches[name] = list(loader.epoch(0))
        first = next(iter(caches.values()))
        if (cache.visual_width, cache.language_width) != (first.visual_width, first.language_width):
            raise InputError(f"the features of {name} have other widths than those trained on: leave out also.{name}")
    return Validation(batches, config.seed, config.selector.switch)


def describe(config: DictConfig, loader: SegmentLoader) -> dict[str, Any]:
    """A checkpoint's metadata: all that sampling needs to know, and what the network was trained with."""
    plain: Any = OmegaConf.to_container(config, resolve=True)
    cache = loader.cache
    given = {"noise": loader.noise, "theme": loader.theme, "reference": loader.reference}  # None: not used
    drawn = {name: None if value is None else asdict(value) for name, value in given.items()}
    widths = {"visual_width": cache.visual_width, "language_width": cache.language_width}
    model = plain["model"]
    return checkpoint_config(
        {
            "model": {"unet": model["unet"], "conditioner": {**model["conditioner"], **widths}},
            "objective": plain["objective"]["name"],
            "schedule": plain["schedule"],
            "features": {"name": "lite" if cache.self_paired else "clip", **widths},
            "window": plain["data"]["window"],
            "sampling": {**plain["sampling"], "sampler": plain["sampler"]},
            "training": {**plain["trainer"], **drawn, "data": cache.manifest["source"], "seed": plain["seed"]},
        }
    ).plain()
