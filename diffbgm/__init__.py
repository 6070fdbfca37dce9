"""diffbgm: background music for video by diffusion over piano rolls (Diff-BGM, CVPR 2024, re-implemented).

    import diffbgm
    pipe = diffbgm.Pipeline.from_pretrained("diffbgm-lite")
    music = pipe("clip.mp4", seed=0)
    music.save("music.mid")

Data flows one way through the rooms: music, video, datasets, diffusion, models, generation, training, evaluation, app.
A room imports only from rooms before it.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from diffbgm.evaluation.in_memory import evaluate
    from diffbgm.generation.music import Music
    from diffbgm.generation.pipeline import Pipeline

__version__ = "0.2.0"
__all__ = ["Music", "Pipeline", "__version__", "evaluate"]

_PLACES = {
    "Music": "diffbgm.generation.music",
    "Pipeline": "diffbgm.generation.pipeline",
    "evaluate": "diffbgm.evaluation.in_memory",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used, so that `import diffbgm` itself is fast."""
    if name not in _PLACES:
        raise AttributeError(f"module 'diffbgm' has no attribute {name!r}")
    value = getattr(import_module(_PLACES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
