"""The HTML page of a folder of results."""

import html
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import quote

from diffbgm.files import atomic

_STYLE = """
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 68rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-weight: 600; } h2 { margin: 2.5rem 0 .5rem; font-size: 1.2rem; overflow-wrap: anywhere; }
video, img, audio { width: 100%; border-radius: 6px; display: block; }
.pair { display: grid; grid-template-columns: minmax(0, 2fr) minmax(0, 3fr); gap: 1rem; align-items: start; }
video { background: #000; max-height: 26rem; } audio { margin-top: .6rem; }
.facts { color: #777; font-size: .9rem; } .failed { border-left: 4px solid #c8553d; padding: .3rem 1rem; }
@media (max-width: 48rem) { .pair { grid-template-columns: 1fr; } }
"""


def _entry(report: Mapping) -> str:
    name = str(report["name"])
    url = quote(name)
    text = html.escape(name)
    captions = "".join(f"<li>{html.escape(caption)}</li>" for caption in report["captions"][:12])
    if len(report["captions"]) > 12:
        captions += f"<li>and {len(report['captions']) - 12} more shots</li>"
    facts = (
        f"{report['duration']:.1f} s of video, {report['notes']} notes, {report['tempo']:g} BPM, "
        f"seed {report['seed']}, made in {report['seconds']['total']:.1f} s"
    )
    return f"""<section><h2>{text}</h2><div class="pair">
<div><video controls preload="metadata" src="./{url}.mp4"></video>
<audio controls preload="none" src="./{url}.wav"></audio></div>
<div><img alt="Piano roll of {text}" src="./{url}.png"><p class="facts">{facts}<br>
<a href="./{url}.mid">MIDI</a> · <a href="./{url}.wav">WAV</a> · <a href="./{url}.json">all settings</a></p>
<details><summary>What the model read from the picture</summary><ol>{captions}</ol></details></div>
</div></section>"""


def write_page(reports: Sequence[Mapping], failed: Sequence[Mapping], path: Path) -> None:
    """Write `index.html`: every finished video with its music, picture and links, then what failed and why.

    reports: what `clip.json` holds, with "name" (output stem); failed: {"video", "error"}.
    """
    entries = "\n".join(_entry(report) for report in reports)
    problems = "".join(
        f"<p class='failed'><b>{html.escape(item['video'])}</b>: {html.escape(item['error'])}</p>" for item in failed
    )
    heading = f"<h2>Not done ({len(failed)})</h2>{problems}" if failed else ""
    page = f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>diffbgm: {len(reports)} video{"s" if len(reports) != 1 else ""} with music</title><style>{_STYLE}</style></head>
<body><h1>Background music by diffbgm</h1>
{entries}
{heading}
</body></html>
"""
    with atomic(path) as temporary:
        temporary.write_text(page, encoding="utf-8")
