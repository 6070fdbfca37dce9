"""Find a soundfont by name, by file, or as the best one installed, and state its licence."""

import difflib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from diffbgm.errors import InputError
from diffbgm.files import atomic
from diffbgm.music.audio import default_soundfont
from diffbgm.music.soundfont import small_soundfont

FETCH = "diffbgm fetch soundfont"


@dataclass(frozen=True)
class Font:
    """A soundfont that is known by name."""

    files: tuple[str, ...]  # the names that its file may have, best first
    licence: str
    source: str


FONTS = {
    "musescore": Font(
        ("MuseScore_General.sf2", "MuseScore_General_Full.sf2", "MuseScore_General_HQ.sf2", "MuseScore_General.sf3"),
        "MIT (MuseScore General, (c) S. Christian Collins and others; some samples public domain)",
        FETCH,
    ),
    "fluid": Font(
        ("FluidR3_GM.sf2", "FluidR3_GM2-2.sf2"),
        "MIT (Fluid R3 GM, (c) Frank Wen and others)",
        "the Debian package fluid-soundfont-gm, or put FluidR3_GM.sf2 there",
    ),
    "builtin": Font(
        ("TimGM6mb.sf2",),
        "GPL-2 (TimGM6mb, (c) Tim Brechbill, as it comes inside pretty_midi)",
        "pretty_midi, which contains it",
    ),
}
SYSTEM_FOLDERS = ("/usr/share/sounds/sf2", "/usr/share/sounds/sf3", "/usr/share/soundfonts")


def soundfont_folder() -> Path:
    """The folder of fetched soundfonts: `diffbgm/soundfonts` in the user's cache folder."""
    cache = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(cache) / "diffbgm" / "soundfonts"


def find_soundfont(wish: str | Path | None) -> Path:
    """The file of a soundfont: "musescore", "fluid", "builtin", or a path; None or "auto": the best one installed.

    Raises InputError, which says what to do, if it is missing.
    """
    if wish is None or wish == "auto":
        return next(_places("musescore"), default_soundfont())
    name = str(wish)
    if name == "builtin":
        return default_soundfont()
    if name in FONTS:
        found = next(_places(name), None)
        if found is None:
            raise InputError(f"the soundfont {name} is not in {soundfont_folder()}; get it by {FONTS[name].source}")
        return found
    if not Path(wish).is_file():
        close = difflib.get_close_matches(name, [*FONTS, "auto"], n=1, cutoff=0.6)
        meant = f"did you mean {close[0]}? Otherwise " if close else ""
        raise InputError(
            f"there is no soundfont {wish}; {meant}give an .sf2 or .sf3 file, {', '.join(FONTS)}, or none for the best "
            "one installed"
        )
    return Path(wish)


def licence_of(font: Path) -> str:
    """The licence of a soundfont, which is recognised by its file name."""
    for known in FONTS.values():
        if font.name in known.files:
            return known.licence
    return f"as the maker of {font.name} says"


def unpack(font: Path) -> Path:
    """Decode a fetched .sf3 to MuseScore_General.sf2 beside it, so that no piece has to wait for that."""
    target = font.with_name(FONTS["musescore"].files[0])
    if not target.exists():
        with atomic(target) as temporary:
            temporary.write_bytes(small_soundfont(font))
    return target


def _places(name: str) -> Iterator[Path]:
    for folder in (soundfont_folder(), *map(Path, SYSTEM_FOLDERS)):
        for file in FONTS[name].files:
            if (folder / file).is_file():
                yield folder / file
