"""The settings of sampling, each defined once with its type, range, default and help text.

configs/sample.yaml and the keyword arguments of `Pipeline` have the same names; both pass through these types.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Self

from diffbgm.diffusion.couplings import UNCOUPLED, Couplings
from diffbgm.errors import InputError
from diffbgm.fields import check, field
from diffbgm.music.mixing import MIXES
from diffbgm.video.windows import WINDOWS

MODALITIES = ("both", "language", "visual")
PLAN = "plan"
LONGFORMS = ("independent", "outpaint", "joint")
ENDINGS = ("fade", "cut", "resolve")
SLOWEST, FASTEST = 40.0, 240.0  # BPM
MOST_VARIATIONS = 100  # takes of a video, which are composed together


@dataclass(frozen=True, kw_only=True)
class ComposeSettings:
    """The group `compose` of the configs. None means the checkpoint's default."""

    guidance: float | None = field(None, low=-100, high=100, help="scale of classifier-free guidance; 1: no guidance")
    temperature: float | None = field(None, above=0, high=10, help="below 1: fewer surprises")
    pivots: tuple[float, ...] | None = field(
        None,
        above=0,
        high=0.999999,
        length=(2, 4),
        help="probabilities of onsets and sustains (or of the lead's and the accompaniment's) that a temperature keeps",
    )
    couplings: Couplings = UNCOUPLED
    discriminator: float | None = field(
        None, low=0, high=100, help="weight of discriminator guidance, if the checkpoint has a discriminator"
    )
    modality: str = field("both", choices=MODALITIES, help="condition on one of the two streams only")
    window: int | str | None = field(
        None, choices=(*WINDOWS, "dynamic"), help="beats per attention window; dynamic: from the shots"
    )
    longform: str | None = field(None, choices=LONGFORMS, help="how windows of eight bars become a piece")
    form: str | None = field(
        None,
        length=(1, 64),
        help="one letter per eight bars, such as AABA (equal letters repeat, - continues), auto or free",
    )
    reprise: float | None = field(
        None, low=0, high=1, help="how literally sections with the same letter repeat, if the network supports it"
    )
    harmony: str | None = field(None, choices=("free", PLAN), help="plan: chords are planned before the notes")
    rhythm: str | None = field(None, choices=("free", PLAN), help="plan: a groove is chosen before the notes")
    threshold: float | None = field(
        None, above=0, high=0.999999, help="probability above which a cell of the roll becomes a note"
    )
    voices: tuple[int, ...] | None = field(
        None, low=1, high=88, length=(2, 2), help="most notes of the lead and of the accompaniment that start together"
    )
    rests: int | None = field(
        None, low=0, high=16, help="rests of at most this many sixteenths, in which nothing plays, are held over"
    )
    rows: int = field(1, low=1, high=4096, help="windows per call of the network")

    def completed(self, usual: Mapping[str, Any]) -> Self:
        """These settings with `usual` values for those that are None; other names in `usual` are ignored."""
        couplings = self.couplings.completed(usual.get("couplings", UNCOUPLED))
        unsaid = [entry.name for entry in fields(ComposeSettings) if getattr(self, entry.name) is None]
        return replace(self, couplings=couplings, **{name: usual[name] for name in unsaid if name in usual})


@dataclass(frozen=True, kw_only=True)
class SampleSettings(ComposeSettings):
    """All settings of the music for a video."""

    seed: int = field(0, low=0, high=2**63 - 1, help="another seed, another piece")
    variations: int = field(
        1, low=1, high=MOST_VARIATIONS, help="takes per video; the one that follows the picture best comes first"
    )
    tempo: float | str | None = field(
        None, low=SLOWEST, high=FASTEST, choices=("auto",), help="BPM, or auto: what puts most cuts on beats"
    )
    tempo_range: tuple[float, float] = field(
        (90.0, 140.0), low=SLOWEST, high=FASTEST, rising=True, help="BPM among which auto chooses"
    )
    accent_cuts: bool = field(True, help="ask for an accent on every cut (features=lite)")
    intensity: float = field(1.0, low=0, high=4, help="factor on the motion that the model sees (features=lite)")
    motion_contrast: float = field(
        2.0, low=0, high=4, help="factor on how far that motion is from its mean; 1: as measured"
    )
    caption: str | None = field(None, help="a sentence in place of every shot's caption")
    melody: str | None = field(None, help="a MIDI file whose notes are kept and accompanied")
    keep: str | None = field(None, help="a MIDI file whose bars keep_bars are kept")
    keep_bars: tuple[int, int] | None = field(
        None, low=1, high=10**6, rising=True, help="[first, last]: the bars of keep to keep, counted from 1"
    )
    chords: str | None = field(
        None, length=(1, 2000), help='one chord per bar, repeated to the end, such as "C G Am F"'
    )
    key: str | None = field(None, length=(1, 16), help='compose in this key, such as "A minor"')
    ending: str = field("fade", choices=ENDINGS, help="resolve: a held tonic chord")
    fade: float | str = field(
        "auto", low=0, high=60, choices=("auto",), help="seconds, for ending=fade; auto: with the picture, at least 2"
    )
    dynamics: float = field(0.7, low=0, high=1, help="0: every note equally loud; 1: loudness follows the picture")
    humanize: float = field(0.5, low=0, high=1, help="0: on the grid, no pedal; 1: chords spread by up to 16 ms")
    instruments: str = field(
        "piano",
        length=(1, 200),
        help='a palette (strings, guitar, ...), an instrument, two to four such as "flute+piano", or auto: by the mood',
    )
    program: int | str = field(
        0, low=0, high=127, help="one General MIDI instrument for everything, by number or name (0: grand piano)"
    )
    mood: str | None = field(None, length=(1, 200), help='words such as "calm, hopeful"')
    valence: float | None = field(None, low=-1, high=1, help="sad to happy: mode and register; overrides mood=")
    arousal: float | None = field(None, low=-1, high=1, help="calm to excited: tempo, density, loudness")
    moods: str | None = field(None, help="a CSV file with the columns time and mood, for moods that change")
    mix: str = field("replace", choices=MIXES, help="what happens to the video's own sound")
    lufs: float = field(-16.0, above=-70, high=0, help="loudness of the music")
    soundfont: str | None = field(
        None, help="an .sf2 or .sf3 file, musescore, fluid or builtin; null: the best one installed"
    )
    room: float = field(0.3, low=0, high=1, help="amount of reverberation")
    stems: bool = field(False, help="also a WAV file of each instrument")
    keep_states: tuple[int, ...] = field((), low=0, high=10_000, help="timesteps whose x_t and x0 are saved")

    def __post_init__(self) -> None:
        if (self.keep is None) != (self.keep_bars is None):
            raise InputError("keep=FILE.mid and keep_bars=[first,last] go together; give both")
        if self.melody is not None and self.keep is not None:
            raise InputError("melody= and keep= cannot both be kept; give one of them")
        if self.moods is not None and (self.mood, self.valence, self.arousal) != (None, None, None):
            raise InputError("moods= sets the mood of every moment; leave mood=, valence= and arousal= out")
        if self.keep_states and self.longform == "outpaint":
            raise InputError("keep_states needs all windows at once; add longform=joint or longform=independent")


def compose_settings(config: Mapping[str, Any]) -> ComposeSettings:
    """The group `compose` of a config. InputError for a setting that is unknown, of another type or out of range."""
    return check(ComposeSettings, config, "compose")


def sample_settings(config: Mapping[str, Any]) -> SampleSettings:
    """The settings among the keys of configs/sample.yaml. InputError as for `compose_settings`."""
    given = vars(compose_settings(config["compose"]))
    own = [entry.name for entry in fields(SampleSettings) if entry.name not in given]
    return check(SampleSettings, given | {name: config[name] for name in own})
