"""The command `diffbgm NAME [settings]`: a table of commands, each in a module of its own that loads when it is called.

    diffbgm sample videos=my_videos out=my_music

A command is a function that takes the words after its name and returns the exit code.
"""

import gc
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import import_module

import diffbgm
from diffbgm.app.progress import begin
from diffbgm.app.settings_text import help_text
from diffbgm.app.stop import answered, without_debug
from diffbgm.shipped import CONFIGS

SHELLS = ("train.py", "sample.py", "evaluate.py", "sample_songs.py", "extract_features.py", "import_release.py")


@dataclass(frozen=True)
class Command:
    """A line of the table."""

    name: str
    function: str  # module:function below diffbgm.app
    summary: str
    config: str | None = None  # configs/NAME.yaml, where the function takes a composed configuration

    def __call__(self, words: Sequence[str], called: str) -> int:
        """Run the command and return its exit code. `called`: how it was called, for its help."""
        if self.config is not None and {"-h", "--help"} & set(words):
            print(help_text(self.config, CONFIGS, called), end="")
            return 0
        if not {"-h", "--help"} & set(words):
            words = begin(self.name, words)
            sys.argv[1:] = words
        return answered(lambda: self._run(words), f"diffbgm {self.name}")

    def _run(self, words: Sequence[str]) -> int | None:
        module, _, name = self.function.partition(":")
        gc.disable()  # imports leave no garbage, and searching for it takes a tenth of their time
        try:
            function: Callable[..., int | None] = getattr(import_module(f"diffbgm.app.{module}"), name)
        finally:
            gc.enable()
        gc.freeze()  # what was imported is not searched later, either
        if self.config is None:
            return function(words)
        from diffbgm.app.cli import run

        return run(function, self.config, words)


COMMANDS = (
    Command("sample", "sample:sample", "make music for a folder of videos", "sample"),
    Command("index", "sample:index_folder", "page and summary of what lies in a folder", "index"),
    Command("train", "train:train", "train a network", "train"),
    Command("evaluate", "evaluate:evaluate", "metrics, tables and figures of generated music", "evaluate"),
    Command("features", "features:extract_features", "extract the features of a folder of videos", "extract_features"),
    Command("songs", "songs:sample_songs", "music for the conditions of held-out songs", "sample_songs"),
    Command("prepare", "prepare:prepare_data", "prepare training data ahead of time", "prepare"),
    Command("prepare-bgm909", "prepare_bgm909:prepare_bgm909", "BGM909's layout from your videos", "prepare_bgm909"),
    Command("import", "import_release:main", "convert the authors' published checkpoint"),
    Command("export", "export:main", "make a checkpoint to ship from a training run's"),
    Command("fetch", "fetch:main", "fetch the demo videos, or a better soundfont"),
    Command("app", "gradio_app:main", "compose in the browser"),
    Command("doctor", "doctor:main", "what this installation has, and what it lacks"),
    Command("completion", "completion:main", "a script for the shell that completes commands and settings"),
    Command("card", "card:make_card", "the evidence in a checkpoint's model card", "card"),
)


def main(words: Sequence[str] | None = None) -> int:
    """Run the command that the first word names; returns the exit code, 2 where there is no such command."""
    words = without_debug(sys.argv[1:] if words is None else words)
    known = {command.name: command for command in COMMANDS}
    if not words or words[0] in ("-h", "--help", "help"):
        print(overview())
        return 0
    if words[0] == "--version":
        print(f"diffbgm {diffbgm.__version__}")
        return 0
    if words[0] not in known:
        close = get_close_matches(words[0], known, n=1)
        meant = f"did you mean '{close[0]}'? " if close else ""
        print(f"error: there is no command '{words[0]}'; {meant}diffbgm --help lists them all", file=sys.stderr)
        return 2
    script = sys.argv[0]
    called = f"python {script}" if script.endswith(SHELLS) else f"diffbgm {words[0]}"
    sys.argv[:] = [f"diffbgm {words[0]}", *words[1:]]  # what Hydra and argparse read
    return known[words[0]](words[1:], called)


def overview() -> str:
    """The table of commands as text."""
    width = max(len(command.name) for command in COMMANDS)
    lines = [f"  {command.name:{width}}  {command.summary}" for command in COMMANDS]
    return "\n".join(
        [
            "usage: diffbgm COMMAND [key=value ...]",
            "",
            *lines,
            "",
            "diffbgm COMMAND --help lists a command's settings; quiet=true says less, -v more.",
            "--debug shows the traceback of an unexpected error.",
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
