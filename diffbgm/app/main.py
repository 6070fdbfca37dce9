"""`diffbgm COMMAND key=value ...`, and the same as `python sample.py key=value ...`.

    diffbgm sample videos=my_videos out=my_music
    diffbgm sample --help

Nothing heavy is imported before a command runs, so that help and mistakes in a command's name come at once.
"""

import sys
from collections.abc import Sequence
from importlib import import_module

from diffbgm.app.help import help_text

COMMANDS = {  # name -> module and function, and the config of the same name
    "sample": ("diffbgm.app.sample", "music for every video in a folder"),
}
HELP = {"-h", "--help"}


def command(name: str, arguments: Sequence[str] | None = None) -> int:
    """Run one command with the overrides of the command line; returns the exit code."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if HELP & set(arguments):
        print(help_text(name))
        return 0
    from diffbgm.app.cli import run

    module, _ = COMMANDS[name]
    return run(getattr(import_module(module), name), name, arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """`diffbgm`: the first word is the command."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if not arguments or arguments[0] in HELP:
        print("diffbgm COMMAND key=value ...    (diffbgm COMMAND --help lists the settings)\n")
        for name, (_, what) in COMMANDS.items():
            print(f"  {name:10s} {what}")
        return 0 if arguments else 1
    if arguments[0] not in COMMANDS:
        print(f"error: unknown command '{arguments[0]}'; give one of {', '.join(COMMANDS)}", file=sys.stderr)
        return 1
    return command(arguments[0], arguments[1:])
