"""`diffbgm completion bash|zsh`: a script that completes commands, settings and their choices.

    eval "$(diffbgm completion bash)"        in ~/.bashrc
    eval "$(diffbgm completion zsh)"         in ~/.zshrc

The words are written into the script, so that no Python starts when Tab is pressed. `python sample.py` and the other
scripts have Hydra's own completion as well: eval "$(python sample.py -sc install=bash)".
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from diffbgm.app.main import COMMANDS
from diffbgm.app.settings_text import read_command
from diffbgm.errors import InputError
from diffbgm.shipped import CONFIGS

SHELLS = ("bash", "zsh")
OTHERS = {  # words of commands without a config; their modules take seconds to import
    "app": ["host=", "port=", "minutes=", "megabytes=", "share=", "share=true", "checkpoint=", "device="],
    "fetch": ["demo", "soundfont", "unseen"],
}

_SCRIPT = r"""
_diffbgm() {
    local current="${COMP_WORDS[COMP_CWORD]}" words word key="" values=""
    if (( COMP_CWORD > 2 )) && [[ "${COMP_WORDS[COMP_CWORD-1]}" == "=" ]]; then
        key="${COMP_WORDS[COMP_CWORD-2]}"
    elif (( COMP_CWORD > 1 )) && [[ "$current" == "=" ]]; then
        key="${COMP_WORDS[COMP_CWORD-1]}" current=""
    fi
    case "${COMP_WORDS[1]}" in
@CASES@
        *) words="@COMMANDS@" ;;
    esac
    (( COMP_CWORD == 1 )) && words="@COMMANDS@"
    if [[ -n "$key" ]]; then
        for word in $words; do [[ "$word" == "$key="?* ]] && values+=" ${word#*=}"; done
        if [[ -n "$values" ]]; then COMPREPLY=($(compgen -W "$values" -- "$current"))
        else COMPREPLY=($(compgen -f -- "$current")); fi
        return
    fi
    COMPREPLY=($(compgen -W "$words" -- "$current"))
    [[ "${COMPREPLY[0]}" == *= ]] && compopt -o nospace 2>/dev/null
}
complete -F _diffbgm diffbgm
"""


def main(arguments: Sequence[str], configs: Path = CONFIGS) -> int:
    """Print the script for a shell. Raises InputError for any other argument."""
    if set(arguments) & {"-h", "--help"}:
        print(__doc__)
        return 0
    if len(arguments) != 1 or arguments[0] not in SHELLS:
        raise InputError(f"diffbgm completion needs the name of a shell; give {' or '.join(SHELLS)}")
    print(script(arguments[0], configs), end="")
    return 0


def script(shell: str, configs: Path) -> str:
    """The completion script for bash or zsh, made from the present configs."""
    words = {command.name: _words(configs / f"{command.config}.yaml") for command in COMMANDS if command.config}
    words |= OTHERS
    names = " ".join(command.name for command in COMMANDS)
    text = _SCRIPT.lstrip("\n").replace("@CASES@", _cases(words)).replace("@COMMANDS@", names)
    return f"autoload -U +X bashcompinit && bashcompinit\n{text}" if shell == "zsh" else text


def _words(path: Path) -> list[str]:
    """key= for each setting, key=choice for those whose comment lists choices, group=option for each group."""
    command = read_command(path)
    words = []
    for setting in command.settings:
        words.append(f"{setting.key}=")
        words += [f"{setting.key}={choice}" for choice in choices(setting.comment)]
    return words + [f"{group.name}={option}" for group in command.groups for option in group.options]


def choices(comment: str) -> list[str]:
    """The choices that a comment lists at its start as "a | b | c"; none otherwise."""
    found = re.match(r"[\w:.-]+(?: \| [\w:.-]+)+", comment)
    return [choice.strip(":") for choice in found[0].split(" | ")] if found else []


def _cases(words: Mapping[str, Sequence[str]]) -> str:
    return "\n".join(f'        {command}) words="{" ".join(known)}" ;;' for command, known in words.items())
