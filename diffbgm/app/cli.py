"""How every entry point starts: Hydra composes the configuration, mistakes become one sentence and exit code 1.

    if __name__ == "__main__":
        sys.exit(run(train, "train"))

Overrides are Hydra's (`key=value group=option`). A plain run composes in this process and writes no Hydra folders.
`--help` prints the settings with their comments. Anything else that starts with a dash (`--cfg job`, `-m` for sweeps
and launchers) is handed to `hydra.main`.
"""

import difflib
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import CompactHydraException, HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from diffbgm.app.settings_text import help_text
from diffbgm.app.stop import answered, without_debug
from diffbgm.errors import InputError
from diffbgm.shipped import CONFIGS

PATHS = frozenset(
    "videos out checkpoint cache generated reference training init melody keep soundfont musicnn data.root "
    "data.cache".split()
)
"""Settings whose value is a name, even if it looks like a number."""


def run(function: Callable[[DictConfig], int | None], config_name: str, arguments: Sequence[str] | None = None) -> int:
    """Call `function(config)` with configs/<config_name>.yaml and the command line's overrides; return the exit code.

    `function` returns its own exit code (None is 0). An InputError is printed to stderr as one sentence and gives 1, as
    does an unknown key, group or option; any other exception is a defect: one sentence, and its traceback with --debug.
    """
    arguments = without_debug(sys.argv[1:] if arguments is None else arguments)
    sys.argv = without_debug(sys.argv)  # Hydra reads it again
    if {"-h", "--help"} & set(arguments):
        print(help_text(config_name, CONFIGS), end="")
        return 0

    def work() -> int | None:
        if any(argument.startswith("-") for argument in arguments):
            if {"-m", "--multirun"} & set(arguments):  # report mistakes in shared settings before Hydra starts jobs
                configure(config_name, [argument for argument in arguments if _fixed(argument)])
            _hydra_main(function, config_name)
            return 0
        config = configure(config_name, arguments)
        _require(config)
        return function(config)

    return answered(work, config_name)


def configure(config_name: str, overrides: Sequence[str] = ()) -> DictConfig:
    """The composed configuration of configs/<config_name>.yaml; InputError where an override does not fit it."""
    with _set_aside(), hydra.initialize_config_dir(str(CONFIGS), version_base="1.3"):
        try:
            config = hydra.compose(config_name, [_readable(override) for override in overrides])
            OmegaConf.resolve(config)
        except (HydraException, OmegaConfBaseException, ValueError) as error:
            raise InputError(_sentence(error, config_name)) from error
    return config


@contextmanager
def _set_aside() -> Iterator[None]:
    """Allow a composition inside another one, as in the jobs of a sweep."""
    around, GlobalHydra.instance().hydra = GlobalHydra.instance().hydra, None
    try:
        yield
    finally:
        GlobalHydra.instance().hydra = around


def _require(config: DictConfig) -> None:
    """Raise InputError for settings that have no default (`???`) and were not given."""
    if missing := sorted(OmegaConf.missing_keys(config)):
        raise InputError(f"no value for {' and '.join(missing)}; add {' '.join(f'{key}=...' for key in missing)}")


def _fixed(argument: str) -> bool:
    """Whether an argument of a sweep is a setting that all its jobs share."""
    try:
        override = OverridesParser.create().parse_override(argument)
    except HydraException:
        return False
    return "=" in argument and not override.is_sweep_override()


def _readable(override: str) -> str:
    """Quote a value that Hydra's grammar cannot read as one plain value: paths with commas, brackets, accents."""
    override = re.sub(r"^\+(?=experiment=)", "", override)
    key, equals, value = override.partition("=")
    if not equals:
        raise InputError(f"cannot read the argument '{override}'; write settings as key=value, for example out=folder")
    try:
        parsed = OverridesParser.create().parse_override(override)
        number = isinstance(parsed.value(), int | float | bool)  # of a folder called 2024, or true
        if not parsed.is_sweep_override() and not (number and key in PATHS):
            return override
    except HydraException:
        pass
    quoted = re.sub(r"(\\*)'", r"\1\1\\'", value)
    return f"{key}='{quoted}'"


def _sentence(error: Exception, config_name: str) -> str:
    """An error of Hydra or OmegaConf, which has several lines, as one sentence that names the remedy."""
    text = " ".join(str(error).split())
    if unknown := re.match(r"Could not override '([^']+)'", text):
        key = unknown[1]
        known = _keys(OmegaConf.to_container(hydra.compose(config_name)))
        close = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
        if key in known:
            return f"'{key}' is a setting of another option than the one chosen; leave it out, or choose that option"
        meant = f"did you mean '{close[0]}'? " if close else ""
        return f"unknown setting '{key}'; {meant}--help lists them all"
    if option := re.search(
        r"Could not find '([^']+)'.*?Available options in '[^']+': (.*?)(?: Config search path|$)", text
    ):
        group, _, name = option[1].rpartition("/")
        return f"unknown option '{name}' for {group}; choose one of {', '.join(option[2].split())}"
    return text[:400]


def _keys(tree: object, prefix: str = "") -> list[str]:
    """Every key of a nested dict in dotted form."""
    if not isinstance(tree, dict):
        return []
    return [name for key, child in tree.items() for name in (f"{prefix}{key}", *_keys(child, f"{prefix}{key}."))]


class JobsFailed(CompactHydraException):
    """The end of a failed job of a sweep: not a SystemExit, on which launchers would end the other jobs too."""


def _hydra_main(function: Callable[[DictConfig], int | None], config_name: str) -> None:
    """Sweeps, launchers and --cfg, as Hydra does them; exit code 1 where a job of a sweep failed, after all of them."""

    def job(config: DictConfig) -> None:
        OmegaConf.resolve(config)

        def work() -> int | None:
            _require(config)
            return function(config)

        if code := answered(work, config_name):
            if HydraConfig.get().mode == RunMode.MULTIRUN:
                raise JobsFailed(f"a job ended with exit code {code}; what it said is above")
            sys.exit(code)

    hydra.main(version_base="1.3", config_path=str(CONFIGS), config_name=config_name)(job)()
