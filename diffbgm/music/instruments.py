"""Instruments by name, and the palettes that divide a piece among one to four of them.

A palette is a name of `PALETTES` ("strings"), one General MIDI instrument ("violin", 40), which then plays everything,
or two to four of them joined by a plus ("flute+piano"), which play lead, accompaniment, bass and a pad of held chords.
"""

import difflib
import re
from dataclasses import dataclass

from diffbgm.errors import InputError
from diffbgm.music.midi import GM_NAMES

ROLES = ("lead", "accompaniment", "bass", "pad")  # in the order in which the instruments of a palette take them
ALL = "all"
MIDDLE = 64  # of General MIDI's panning, 0 (left) to 127


@dataclass(frozen=True)
class Voice:
    """One instrument of a palette and what it plays."""

    program: int  # General MIDI, 0..127
    role: str  # all | lead | accompaniment | bass | pad
    pan: int = MIDDLE  # 0 left .. 127 right
    volume: int = 100  # General MIDI's channel volume, 0..127; 100 is what players assume

    @property
    def name(self) -> str:
        """Such as "Flute (lead)"; without the role for a voice that plays everything."""
        return GM_NAMES[self.program] + ("" if self.role == ALL else f" ({self.role})")

    @property
    def range(self) -> tuple[int, int]:
        """Lowest and highest pitch that the instrument plays well."""
        return _RANGES.get(self.program, _FAMILY_RANGES[self.program // 8])


# Lowest and highest pitch of each family of eight programs, after Adler, "The Study of Orchestration" (4th ed.), and
# General MIDI level 2's recommended ranges.
_FAMILY_RANGES = (
    (0, 127),  # pianos: a piece for piano stays as it was composed
    (60, 108),  # chromatic percussion
    (36, 96),  # organs
    (40, 84),  # guitars
    (28, 60),  # basses
    (28, 96),  # strings
    (28, 96),  # ensembles
    (34, 82),  # brass
    (46, 84),  # reeds
    (60, 96),  # pipes
    (21, 108),  # synth leads
    (36, 96),  # synth pads
    (36, 96),  # synth effects
    (48, 84),  # ethnic
    (48, 84),  # percussive
    (0, 127),  # sound effects
)
_RANGES = {
    8: (60, 108),  # celesta
    9: (72, 108),  # glockenspiel
    10: (60, 108),  # music box
    11: (53, 89),  # vibraphone
    12: (45, 96),  # marimba
    13: (65, 108),  # xylophone
    14: (60, 77),  # tubular bells
    40: (55, 96),  # violin
    41: (48, 84),  # viola
    42: (36, 76),  # cello
    43: (28, 60),  # contrabass
    46: (24, 103),  # harp
    47: (40, 57),  # timpani
    52: (43, 79),  # choir
    53: (43, 79),
    56: (55, 82),  # trumpet
    57: (40, 72),  # trombone
    58: (28, 58),  # tuba
    60: (41, 77),  # French horn
    64: (56, 88),  # soprano saxophone
    65: (49, 80),  # alto saxophone
    66: (44, 76),  # tenor saxophone
    67: (36, 68),  # baritone saxophone
    68: (58, 91),  # oboe
    69: (52, 81),  # English horn
    70: (34, 72),  # bassoon
    71: (50, 91),  # clarinet
    72: (74, 108),  # piccolo
    73: (60, 96),  # flute
}
_ALIASES = {
    "piano": 0,
    "grand piano": 0,
    "electric piano": 4,
    "harpsichord": 6,
    "organ": 19,
    "accordion": 21,
    "guitar": 24,
    "nylon guitar": 24,
    "steel guitar": 25,
    "bass": 32,
    "double bass": 43,
    "strings": 48,
    "choir": 52,
    "voice": 53,
    "harp": 46,
    "horn": 60,
    "saxophone": 65,
    "sax": 65,
    "pad": 89,
    "warm pad": 89,
    "synth": 81,
    "pizzicato": 45,
    "bells": 14,
}
PALETTES = {
    "piano": (Voice(0, ALL),),
    "strings": (
        Voice(40, "lead", 48),
        Voice(48, "accompaniment", 72, 92),
        Voice(42, "bass", 84),
    ),
    "music box": (Voice(10, ALL),),
    "guitar": (Voice(24, ALL),),
    "harp": (Voice(46, ALL),),
    "chamber": (
        Voice(71, "lead", 52),
        Voice(0, "accompaniment"),
        Voice(42, "bass", 80),
    ),
    "ambient": (
        Voice(4, "lead", 56),
        Voice(0, "accompaniment", 70, 92),
        Voice(89, "pad", MIDDLE, 76),
    ),
    "folk": (Voice(73, "lead", 54), Voice(25, "accompaniment", 76), Voice(32, "bass", MIDDLE)),
    "orchestra": (
        Voice(73, "lead", 52),
        Voice(46, "accompaniment", 80),
        Voice(43, "bass", 84),
        Voice(48, "pad", MIDDLE, 80),
    ),
}
_PANS = {"lead": 54, "accompaniment": 74, "bass": MIDDLE, "pad": MIDDLE}
_VOLUMES = {"lead": 100, "accompaniment": 92, "bass": 96, "pad": 76}


def program_named(name: str | int) -> int:
    """The General MIDI program (0..127) of a number or a name: "violin", "Acoustic Grand Piano", "40".

    Part of a name is enough if only one instrument has it. Raises InputError with the nearest names for anything else.
    """
    text = str(name).strip()
    if re.fullmatch(r"-?\d+", text):
        if not 0 <= int(text) < len(GM_NAMES):
            raise InputError(f"program={text} is not an instrument; give 0 to 127 (0 is the grand piano) or a name")
        return int(text)
    plain = _plain(text)
    known = {**{_plain(gm): number for number, gm in enumerate(GM_NAMES)}, **_ALIASES}
    if plain in known:
        return known[plain]
    inside = {number for full, number in known.items() if plain and plain in full.split()}
    if len(inside) == 1:
        return inside.pop()
    raise InputError(f"there is no instrument {text!r}; {_nearest(plain, list(known))}")


def palette(text: str | int) -> tuple[Voice, ...]:
    """The voices that `instruments=` asks for. Raises InputError for an unknown name and for more than four of them."""
    words = [word.strip() for word in str(text).split("+")]
    if len(words) > len(ROLES):
        raise InputError(
            f"instruments={text} names {len(words)} instruments, and the music has {len(ROLES)} parts "
            f"({', '.join(ROLES)}); leave some out"
        )
    if len(words) == 1:
        if _plain(words[0]) in PALETTES:
            return PALETTES[_plain(words[0])]
        try:
            return (Voice(program_named(words[0]), ALL),)
        except InputError as error:
            joint = " Otherwise give" if str(error).endswith("?") else ", or"
            raise InputError(f"{error}{joint} a palette: {', '.join(PALETTES)}") from error
    return tuple(
        Voice(program_named(word), role, _PANS[role], _VOLUMES[role]) for word, role in zip(words, ROLES, strict=False)
    )


def _plain(name: str) -> str:
    """In lower case, with single spaces between words and nothing but letters and digits."""
    return " ".join(re.sub(r"[^a-z0-9]+", " ", name.lower()).split())


def _nearest(name: str, known: list[str]) -> str:
    holding = [full for full in known if name and name in full]
    near = list(dict.fromkeys(difflib.get_close_matches(name, known, n=3, cutoff=0.55) + holding))[:4]
    return f"did you mean {' or '.join(near)}?" if near else "give a General MIDI name, such as violin, flute or piano"
