"""The commands that make a take again, or keep some of its bars and compose the rest again."""

import shlex
from collections.abc import Iterator, Mapping
from dataclasses import fields
from functools import lru_cache
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from diffbgm.generation.settings import ComposeSettings
from diffbgm.shipped import CONFIGS

# Settings that say where and how a run is made, not what is composed.
OF_THE_RUN = frozenset(
    "videos out cache device precision compile page quiet verbose debug shards shard overwrite batch workers".split()
)


@lru_cache
def _defaults() -> dict[str, Any]:
    """The defaults of configs/sample.yaml, read without Hydra, whose composition takes longer."""
    defaults = _read("sample")
    for entry in defaults.pop("defaults"):
        if isinstance(entry, Mapping):
            group, option = next(iter(entry.items()))
            if option is not None and not group.startswith("override "):
                defaults[group] = _read(f"{group}/{option}")
    del defaults["hydra"]
    return defaults


def _read(name: str) -> dict[str, Any]:
    return OmegaConf.to_container(OmegaConf.load(CONFIGS / f"{name}.yaml"))  # type: ignore[return-value]


def changed_settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a composed configs/sample.yaml that differ from their defaults, as a command line names them."""
    return dict(_changes(config, _defaults(), ""))


def make_again(report: Mapping[str, Any], out: Path) -> str:
    """The command that composes a take once more, into a folder beside `out`."""
    return _command(report, beside(out, "again"), changed_settings(_config_of(report)))


def keep_and_redo(report: Mapping[str, Any], out: Path) -> str:
    """The command that keeps bars {first} to {last} of a take and composes the rest with the next seed."""
    settings = changed_settings(_config_of(report))
    for key in ("melody", "variations", "keep", "keep_bars", "tempo", "seed"):
        settings.pop(key, None)
    settings |= {"seed": report["seed"] + 1, "tempo": report["tempo"], "keep": str(out / f"{report['name']}.mid")}
    command = _command(report, beside(out, "redo"), settings)
    return f"{command} 'keep_bars=[{{first}},{{last}}]'"


def _config_of(report: Mapping[str, Any]) -> Mapping[str, Any]:
    """The composed config of a take made by a command; for a take made from Python, one built from its settings."""
    if "config" in report:
        return report["config"]
    asked = {field.name for field in fields(ComposeSettings)}
    settings = report.get("settings", {})
    compose = {name: value for name, value in settings.items() if name in asked}
    config = {name: value for name, value in settings.items() if name not in asked} | {"compose": compose}
    if "checkpoint" in report:
        config["checkpoint"] = report["checkpoint"]["path"]
    return config | (sampler_words(report["sampler"]) if "sampler" in report else {})


def sampler_words(sampler: Mapping[str, Any]) -> dict[str, Any]:
    """The option of the group sampler that is nearest to a `Sampler` in effect, and the settings that differ."""
    sampler = {name: list(value) if isinstance(value, tuple) else value for name, value in sampler.items()}
    open_ones = dict.fromkeys(sampler) | {"eta": 0.0, "sde": False}  # what an option leaves out
    options = {name: option for name, option in _options("sampler") if option.get("name") == sampler["name"]}
    known = {name: open_ones | option for name, option in options.items()}

    def changes(name: str) -> dict[str, Any]:
        return {key: value for key, value in sampler.items() if known[name][key] != value}

    nearest = min(options, key=lambda name: len(changes(name)))
    added = {key: "" if key in options[nearest] else "+" for key in sampler}
    return {"sampler": nearest} | {f"{added[key]}sampler.{key}": value for key, value in changes(nearest).items()}


def beside(out: Path, word: str) -> Path:
    """A folder next to `out` for another attempt."""
    return out.with_name(f"{out.resolve().name}-{word}") if out.name in ("", ".", "..") else Path(f"{out}-{word}")


def _command(report: Mapping[str, Any], out: Path, settings: Mapping[str, Any]) -> str:
    words = {"videos": report["video"], "out": str(out), **settings}
    return " ".join(["diffbgm sample", *(shlex.quote(f"{key}={_text(value)}") for key, value in words.items())])


def _changes(config: Mapping[str, Any], defaults: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for key, value in config.items():
        name, usual = f"{prefix}{key}", defaults.get(key)
        if name in OF_THE_RUN or value == usual or (_text(value) == _text(usual) and value is not None):
            continue
        if isinstance(value, Mapping) and "_target_" in value:
            yield from _option(name, value, usual)
        elif isinstance(value, Mapping):
            yield from _changes(value, usual if isinstance(usual, Mapping) else {}, f"{name}.")
        else:
            yield name, value


def _option(group: str, value: Mapping[str, Any], usual: Any) -> Iterator[tuple[str, Any]]:
    """The option of a config group that a node was made from, and the settings that differ from it."""
    if isinstance(usual, Mapping) and _kind(usual) == _kind(value):
        yield from _changes(value, usual, f"{group}.")
        return
    for name, option in _options(group):
        if isinstance(option, Mapping) and _kind(option) == _kind(value):
            yield group, name
            known = {key: item for key, item in value.items() if key in option}  # nested groups have their own files
            yield from _changes(known, option, f"{group}.")
            return


@lru_cache
def _options(group: str) -> list[tuple[str, Any]]:
    """Name and content of each option of a config group, read once for all the takes of a page."""
    files = sorted((CONFIGS / group).glob("*.yaml"))
    return [(file.stem, OmegaConf.to_container(OmegaConf.load(file))) for file in files]


def _kind(node: Mapping[str, Any]) -> tuple[Any, Any]:
    """What distinguishes the options of a group."""
    return node.get("_target_"), node.get("name")


def _text(value: Any) -> str:
    """A value as Hydra's grammar reads it."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, (list, tuple)):
        return f"[{','.join(map(_text, value))}]"
    return str(value)
