"""Pages that the documentation takes from elsewhere: settings out of the configs, the model card, the data's README."""

import re
import sys
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
from diffbgm.app.settings_text import REQUIRED, CommandText, read_command  # noqa: E402  # the path above is needed first

COMMANDS = {
    "diffbgm sample": "sample",
    "diffbgm train": "train",
    "diffbgm evaluate": "evaluate",
    "diffbgm features": "extract_features",
    "diffbgm songs": "sample_songs",
    "diffbgm prepare": "prepare",
    "diffbgm prepare-bgm909": "prepare_bgm909",
    "diffbgm card": "card",
    "diffbgm index": "index",
    "python scripts/reproduce.py": "reproduce",
}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages."""
    for name, text in pages().items():
        files.append(File.generated(config, name, content=text))
    for picture in (ROOT / "pretrained").glob("*.png"):
        files.append(File.generated(config, picture.name, content=picture.read_bytes()))
    return files


def pages() -> dict[str, str]:
    """Path and Markdown of each generated page."""
    return {
        "reference/settings.md": settings_page(),
        "model-card.md": (ROOT / "pretrained" / "README.md").read_text(encoding="utf-8"),
        "reference/data.md": (ROOT / "data" / "README.md").read_text(encoding="utf-8"),
    }


def settings_page() -> str:
    """Every setting of every command, from the comments in configs/."""
    parts = [
        "# Settings of every command\n",
        "Generated from the comments in `configs/`, like `--help`. A setting is given as `key=value`, a choice as "
        "`group=option`; `-m` runs a sweep over several values, separated by commas.\n",
    ]
    for command, name in COMMANDS.items():
        path = ROOT / "configs" / f"{name}.yaml"
        if path.is_file():
            parts.append(_command(command, read_command(path)))
    return "\n".join(parts)


def _command(name: str, command: CommandText) -> str:
    lines = [f"## {name}\n", f"`{command.title}`\n" if command.title else ""]
    for topic in command.topics:
        lines += [f"**{topic.heading}**\n" if topic.heading else "", "| setting | default | meaning |", "|---|---|---|"]
        for setting in topic.settings:
            default = "required" if setting.default == REQUIRED else f"`{_cell(setting.default)}`"
            lines.append(f"| `{setting.key}` | {default} | {_cell(setting.comment)} |")
        lines.append("")
    if command.groups:
        lines += ["| choice | meaning |", "|---|---|"]
        for group in command.groups:
            for option, about in group.options.items():
                usual = " (default)" if option == group.default else ""
                lines.append(f"| `{group.name}={option}`{usual} | {_cell(about)} |")
        lines.append("")
    return "\n".join(lines)


def _cell(text: str) -> str:
    """Text inside a table: no column separators, nothing that reads as HTML."""
    return re.sub(r"\s*\|\s*", " or ", text).replace("<", "&lt;")
