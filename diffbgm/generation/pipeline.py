"""From a video to its music, in one call that writes nothing.

    pipe = Pipeline.from_pretrained("diffbgm-lite")
    music = pipe("clip.mp4", seed=0, form="AABA", guidance=2)
    music.save("music.wav")

    video -> features -> features on beats -> rolls -> notes -> Music

Shape legend: N beats of a piece, L = 4 N steps, S shots, P pitches.
"""

import math
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from diffbgm.diffusion.samplers import Sampler, changed_sampler, default_sampler
from diffbgm.errors import InputError
from diffbgm.fields import check
from diffbgm.generation.composer import Composer
from diffbgm.generation.loading import WEIGHTS, autocast_dtype, device_named, find_checkpoint
from diffbgm.generation.music import Music
from diffbgm.generation.playing import fitting_palette, mood_curve, mood_plane
from diffbgm.generation.progress import Clock, Stage, bars, silence
from diffbgm.generation.settings import ComposeSettings, SampleSettings
from diffbgm.generation.takes import check_wishes, composed, finished, is_moved, tempo_of
from diffbgm.models.checkpoint import load_checkpoint, save_checkpoint
from diffbgm.music.mood import MoodCurve
from diffbgm.video.decode import frame_count
from diffbgm.video.extractors import build_extractor
from diffbgm.video.fade import with_fade
from diffbgm.video.features import Advance, BeatFeatures, Extractor, VideoFeatures, cached, on_beats
from diffbgm.video.steer import with_accents_on_cuts, with_caption, with_intensity, with_mood, with_motion_contrast

VERSIONED = ("torch", "numpy", "av", "pretty_midi", "midirenderer", "safetensors", "scenedetect-headless")

VideoLike = str | Path | VideoFeatures  # a video or its features


class Pipeline:
    """A checkpoint and its feature extractor, ready to make music. `about` becomes part of every report."""

    def __init__(
        self,
        composer: Composer,
        extractor: Extractor,
        precision: str = "auto",
        cache: Path | None = None,
        about: Mapping[str, Any] | None = None,
    ) -> None:
        """`cache` is a folder that stores the features of videos; None stores nothing."""
        self.composer, self.extractor, self.precision = composer, extractor, precision
        self.cache, self.about = cache, dict(about or {})

    @classmethod
    def from_pretrained(
        cls,
        name_or_path: str | Path = "diffbgm-lite",
        device: str = "auto",
        precision: str = "auto",
        *,
        extractor: Extractor | None = None,
        cache: str | Path | None = None,
        compile: bool = False,
    ) -> "Pipeline":
        """The pipeline of a checkpoint: a shipped name, a file, a folder, or a hub id "owner/name".

        device: auto (a GPU if there is one), cpu, cuda, ...; precision: auto, fp32, bf16, fp16. `extractor` replaces
        the one that the checkpoint was trained on, `cache` is a folder for features of videos, `compile` uses
        torch.compile. Raises InputError if something is missing or does not fit.
        """
        path = find_checkpoint(name_or_path)
        checkpoint = load_checkpoint(path)
        place = device_named(device)
        trained = checkpoint.config.features
        extractor = build_extractor(trained.name) if extractor is None else extractor
        if (extractor.visual_width, extractor.language_width) != (trained.visual_width, trained.language_width):
            raise InputError(
                f"{name_or_path} was trained on features={trained.name}, to which the features asked for do not "
                "correspond; leave features= out or give another checkpoint="
            )
        extractor.to(place).prepare()
        dtype = autocast_dtype(precision, place)
        composer = Composer(checkpoint, None, ComposeSettings(), place, dtype, compile)
        about = {
            "checkpoint": {"path": str(name_or_path), "sha256": checkpoint.sha256},
            "device": str(place),
            "versions": _versions(),
        }
        return cls(composer, extractor, precision, None if cache is None else Path(cache), about)

    def to(self, device: str) -> "Pipeline":
        """Move the pipeline to another device and return it."""
        place = device_named(str(device))
        self.composer = self.composer.to(place, autocast_dtype(self.precision, place))
        self.extractor.to(place)
        self.about["device"] = str(place)
        return self

    def save_pretrained(self, folder: str | Path) -> Path:
        """Write the checkpoint as FOLDER/model.safetensors, for `from_pretrained(FOLDER)`, and return its path."""
        path = Path(folder) / WEIGHTS
        save_checkpoint(path, self.composer.weights(), self.composer.config)
        return path

    def push_to_hub(self, name: str, private: bool = False) -> str:
        """Upload the checkpoint to the Hugging Face hub as `name` ("owner/name"), and return its address there.

        Uses the token stored by `hf auth login`. Raises InputError if the hub refuses or cannot be reached.
        """
        from huggingface_hub import HfApi
        from huggingface_hub.errors import HFValidationError

        api = HfApi()
        try:
            with TemporaryDirectory() as folder:
                path = self.save_pretrained(folder)
                address = api.create_repo(name, private=private, exist_ok=True)
                api.upload_file(path_or_fileobj=path, path_in_repo=WEIGHTS, repo_id=name)
        except (OSError, HFValidationError) as error:
            reason = str(error).strip().split("\n")[0][:120]
            raise InputError(
                f"cannot upload to {name} ({reason}); check the name, the network and `hf auth login`"
            ) from error
        return str(address)

    def __call__(
        self,
        video: VideoLike | Sequence[VideoLike],
        seed: int = 0,
        *,
        sampler: str | Mapping[str, Any] | Sampler | None = None,
        steps: int | None = None,
        progress: bool | Stage = True,
        **settings: Any,
    ) -> Any:
        """The music for a video: a `Music`, or a list of them with variations=N; for a list of videos, a list of those.

        `video` is a path, its features, or several of either, which are composed together. Settings have the names of
        configs/sample.yaml, including those of its group `compose` (guidance=2). `sampler` is dpm, ddim, ddpm or a
        mapping such as {"name": "ddim", "eta": 0}; `steps` is its number of network calls. `progress=False` shows no
        progress bars. Raises InputError for a setting that is unknown or out of range, and for an unusable video.
        """
        wishes = check(SampleSettings, {"seed": seed, **settings})
        walk = _sampler(sampler, steps, self.composer.sampler)
        stage = (bars if progress else silence) if isinstance(progress, bool) else progress
        several = not isinstance(video, str | Path | VideoFeatures)
        sources: Sequence[VideoLike] = video if several else [video]  # type: ignore[assignment,list-item]
        made = self.make(sources, wishes, walk, stage)
        results = made if wishes.variations > 1 else [takes[0] for takes in made]
        return results if several else results[0]

    def make(
        self, videos: Sequence[VideoLike], settings: SampleSettings, sampler: Sampler | None, stage: Stage
    ) -> list[list[Music]]:
        """All takes for each video, the one that follows the picture best first. `stage` reports progress."""
        if not videos:
            raise InputError("there is no video to make music for; give a path, features, or several of them")
        moods = mood_curve(settings, mood_plane())
        if settings.instruments == "auto":
            settings = replace(settings, instruments=fitting_palette(None if moods is None else moods.mean()))
        composer = self.composer.asked(settings, sampler)
        settings = settings if settings.tempo is not None else replace(settings, tempo=composer.tempo or "auto")
        key = check_wishes(settings)
        key = key if is_moved(composer, settings) else None
        clock = Clock()
        with clock("features"), stage("features", sum(map(_frames, videos))) as advance:
            found = [self.features(video, advance) for video in videos]
        tempi = [tempo_of(features, settings, moods) for features in found]
        shown = [self.beat_features(f, chosen.bpm, settings, moods) for f, chosen in zip(found, tempi, strict=True)]
        with clock("compose"):
            takes = composed(composer, shown, settings, stage)
        music = []
        for video, features, chosen, seen, own in zip(videos, found, tempi, shown, takes, strict=True):
            common = {
                "tempo": chosen.bpm,
                "duration": features.duration,
                "shots": features.shots,
                "captions": features.captions if settings.caption is None else (settings.caption,),
                "settings": composer.settings,
                "moods": moods,
                "video": None if isinstance(video, VideoFeatures) else Path(video),
                "fade": None if isinstance(video, VideoFeatures) else features.fade or None,
                "shown": self.beat_features(features, chosen.bpm, replace(settings, motion_contrast=1.0), moods),
                "sections": tuple((part.beat, part.letter) for part in composer.sections_of(seen)),
                "tempo_score": chosen.score,
                "seconds": clock.seconds,
                "about": {**self.about, "sampler": asdict(composer.sampler)},
            }
            music.append([finished(take, key, common) for take in own])
        return music

    def features(self, video: VideoLike, advance: Advance | None = None) -> VideoFeatures:
        """The features of a video; advance(1) is called after each frame.

        Raises InputError for an unusable video and for features that the checkpoint was not trained on.
        """
        if isinstance(video, VideoFeatures):
            own = self.extractor
            fits = bool(own.columns) or video.visual.shape[1:] == (own.visual_width,)
            if video.columns != own.columns or not fits:
                raise InputError(
                    f"these features are from {video.extractor.split('/')[0]}, which does not fit the checkpoint; "
                    "extract them with the pipeline's own extractor"
                )
            return video
        if self.cache is None:
            return with_fade(video, self.extractor.extract(video, advance), self.extractor, None)
        found = cached(video, self.extractor, self.cache, advance)
        return with_fade(video, found, self.extractor, self.cache)

    def beat_features(
        self, features: VideoFeatures, bpm: float, settings: SampleSettings, moods: MoodCurve | None = None
    ) -> BeatFeatures:
        """The features on the beats of the piece at `bpm`, changed as the settings request."""
        count = max(1, math.ceil(features.duration * bpm / 60.0 - 1e-6))
        seen = on_beats(features, count, 60.0 / bpm)
        if settings.accent_cuts:
            seen = with_accents_on_cuts(seen)
        if settings.intensity != 1:
            seen = with_intensity(seen, settings.intensity)
        if settings.motion_contrast != 1:
            seen = with_motion_contrast(seen, settings.motion_contrast)
        if moods is not None:
            seen = with_mood(seen, *moods.at((np.arange(count) + 0.5) * 60.0 / bpm), bpm)
        if settings.caption is not None:
            seen = with_caption(seen, settings.caption, self.extractor.embed([settings.caption])[0])
        return seen


def _frames(video: VideoLike) -> int:
    """The number of frames to read; 0 for features."""
    return 0 if isinstance(video, VideoFeatures) else frame_count(video)


def _sampler(sampler: str | Mapping[str, Any] | Sampler | None, steps: int | None, own: Sampler) -> Sampler | None:
    """The requested sampler; None for the pipeline's own."""
    if sampler is None and steps is None:
        return None
    if isinstance(sampler, Mapping):
        chosen = changed_sampler(default_sampler(sampler["name"]) if "name" in sampler else own, sampler)
    else:
        chosen = default_sampler(sampler) if isinstance(sampler, str) else sampler or own
    return chosen if steps is None else changed_sampler(chosen, {"steps": steps})


def _versions() -> dict[str, str]:
    from diffbgm import __version__

    return {"diffbgm": __version__, "python": platform.python_version()} | {name: version(name) for name in VERSIONED}
