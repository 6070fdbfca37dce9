"""`diffbgm app`: a page in the browser that composes music for a video (Gradio, extra [app]).

    diffbgm app [host=127.0.0.1 port=7860 minutes=10 megabytes=500 share=false checkpoint=diffbgm-lite device=auto]

It listens on this machine only, unless host= says otherwise. `app/` has the files of a Hugging Face Space.
"""

import atexit
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import yaml

from diffbgm.app.studio import Bounds, Studio, Tell, downloads, framed, known_wishes
from diffbgm.errors import InputError
from diffbgm.extras import extra
from diffbgm.fields import check, field
from diffbgm.generation.settings import SampleSettings
from diffbgm.music.key import Key

if TYPE_CHECKING:
    import gradio

T = TypeVar("T")
Shown = tuple[str, list[str], str]  # the page of the takes, their files, their folder
FILES = "/gradio_api/file="  # where Gradio serves the files of allowed_paths
WAITING = 20  # visitors in the queue
KEYS = [str(Key(tonic, minor)) for minor in (False, True) for tonic in range(12)]


@dataclass(frozen=True, kw_only=True)
class AppSettings:
    """The settings of the command."""

    host: str = field("127.0.0.1", help="0.0.0.0 lets others in the network use it")
    port: int | None = field(7860, low=1, high=65535, help="null: any that is free")
    minutes: float = field(10.0, above=0, high=600, help="longest video")
    megabytes: float = field(500.0, above=0, high=100_000, help="largest upload")
    share: bool = field(False, help="a public address by Gradio, for 72 hours")
    checkpoint: str = field("diffbgm-lite", help="a shipped name, a file, a folder or a hub id")
    device: str = field("auto", help="auto, cpu, cuda, cuda:1, mps")


def main(words: Sequence[str]) -> int:
    """Serve the app until it is interrupted; returns the exit code."""
    if {"-h", "--help"} & set(words):
        print(__doc__)
        return 0
    try:
        settings = read_settings(words)
        launch(build(open_studio(settings)), settings, wait=True)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def read_settings(words: Sequence[str]) -> AppSettings:
    """Settings from words such as port=7861. Raises InputError if one is unknown or out of range."""
    given: dict[str, Any] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals:
            raise InputError(f"cannot read the argument '{word}'; write settings as key=value, for example port=7861")
        given[key] = value if key in ("host", "checkpoint", "device") else yaml.safe_load(value)
    return check(AppSettings, given)


def open_studio(settings: AppSettings) -> Studio:
    """A studio with its pipeline loaded, whose folder is removed when the process ends."""
    from diffbgm.generation.pipeline import Pipeline

    pipeline = Pipeline.from_pretrained(settings.checkpoint, device=settings.device)
    studio = Studio(pipeline, Bounds(minutes=settings.minutes, megabytes=settings.megabytes))
    pipeline.cache = studio.place / "features"
    atexit.register(studio.close)
    return studio


def launch(page: "gradio.Blocks", settings: AppSettings, wait: bool) -> str:
    """Serve the page; returns its address once it answers or, with `wait`, after it was stopped."""
    with extra("app"):
        from gradio.themes import Default

    page.queue(max_size=WAITING, default_concurrency_limit=1)
    try:
        _, address, _ = page.launch(
            server_name=settings.host,
            server_port=settings.port,
            share=settings.share,
            prevent_thread_lock=not wait,
            allowed_paths=[str(page.studio.place)],  # type: ignore[attr-defined]
            max_file_size=int(settings.megabytes * 2**20),
            quiet=not wait,
            show_error=True,
            theme=Default(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]),  # none is fetched
        )
    except OSError as error:
        raise InputError(f"cannot listen on {settings.host}:{settings.port} ({error}); give another port=") from error
    return str(address)


def build(studio: Studio) -> "gradio.Blocks":
    """The interface of a studio. InputError where Gradio is not installed."""
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # nothing is sent anywhere
    with extra("app"):
        import gradio as gr

    with gr.Blocks(title="diffbgm", analytics_enabled=False, delete_cache=(600, 3600)) as page:
        gr.Markdown("# Music for your video\nDrop a video, look at what was read from it, and compose.")
        with gr.Row():
            with gr.Column():
                video = gr.Video(label="Video", sources=["upload"])
                if examples := example_videos(studio.place):
                    gr.Examples(examples, inputs=video, label="Examples")
                seen = gr.HTML(label="What was read from it")
            with gr.Column():
                names, controls = _controls(gr, studio.bounds)
                button = gr.Button("Compose", variant="primary")
        frame = gr.HTML(label="Takes", min_height=96)  # room for the progress bar
        with gr.Row():
            files = gr.Files(label="Downloads: video, MIDI, sound, stems, picture", interactive=False)
            with gr.Column():
                kept, again = _keeping(gr)
        place = gr.Textbox("", visible=False, label="result")
        outputs, answers = [frame, files, place], _answers(studio, names)
        video.change(answers.look, video, seen, api_name="look")
        # Composing takes the whole machine.
        one: dict[str, Any] = {"concurrency_limit": 1, "concurrency_id": "composing", "show_progress_on": frame}
        button.click(answers.compose, [video, *controls], outputs, api_name="compose", **one)
        again.click(answers.redo, [place, *kept], outputs, api_name="redo", **one)
        page.unload(answers.leave)
    page.studio = studio
    return page


@dataclass(frozen=True)
class Answers:
    """What the page calls."""

    look: Callable[..., str]
    compose: Callable[..., Shown]
    redo: Callable[..., Shown]
    leave: Callable[..., None]  # Gradio calls it where a browser has closed its connection


def _answers(studio: Studio, names: Sequence[str]) -> Answers:
    """The studio's answers to the page's events. Gradio passes the first two arguments by their type and default."""
    import gradio as gr

    def answered(request: Any, progress: Any, work: Callable[[Tell], T]) -> T:
        """The result of some work for a visitor; an InputError becomes a message on the page."""
        try:
            with studio.work_for(request.session_hash, lambda share, what: progress(share, desc=what)) as tell:
                return work(tell)
        except InputError as error:
            raise gr.Error(str(error), print_exception=False) from error

    def shown(folder: Path) -> Shown:
        return framed(folder, FILES), downloads(folder), str(folder)

    def look(request: gr.Request, progress: Any = gr.Progress(), video: str | None = None) -> str:  # noqa: B008
        return answered(request, progress, lambda tell: "" if video is None else studio.look(video, tell))

    def compose(
        request: gr.Request,
        progress: Any = gr.Progress(),  # noqa: B008
        video: str | None = None,
        *values: Any,
    ) -> Shown:
        wishes = dict(zip(names, values, strict=True))
        return shown(answered(request, progress, lambda tell: studio.compose(video, wishes, tell)))

    def redo(
        request: gr.Request,
        progress: Any = gr.Progress(),  # noqa: B008
        folder: str = "",
        *bars: float,
    ) -> Shown:
        if not folder:
            raise gr.Error("there is nothing to keep yet; compose first", print_exception=False)
        take, first, last = (int(number or 1) for number in bars)
        return shown(answered(request, progress, lambda tell: studio.redo(Path(folder), take, first, last, tell)))

    def leave(request: gr.Request) -> None:
        if request.session_hash:
            studio.leave(request.session_hash)

    return Answers(look, compose, redo, leave)


def _keeping(gr: Any) -> tuple[list[Any], Any]:
    """Fields for the take and the bars to keep, and the button that composes the rest."""
    gr.Markdown("Keep some bars and compose the rest again:")
    with gr.Row():
        fields = [
            gr.Number(value, label=label, precision=0, minimum=1, min_width=80)
            for label, value in (("take", 1), ("from bar", 1), ("to bar", 4))
        ]
    return fields, gr.Button("Redo the rest")


def _controls(gr: Any, bounds: Bounds) -> tuple[list[str], list[Any]]:
    """Names and components of the settings on the page."""
    usual = SampleSettings()
    offered = {
        "mood": lambda: gr.Textbox("", label="Mood", placeholder="calm, hopeful"),
        "seed": lambda: gr.Number(0, label="Seed", precision=0, minimum=0),
        "variations": lambda: gr.Slider(1, bounds.takes, 1, step=1, label="Takes"),
        "tempo": lambda: gr.Dropdown(["auto", *range(60, 181, 10)], value="auto", label="Tempo (BPM)"),
        "key": lambda: gr.Dropdown(["", *KEYS], value="", label="Key"),
        "form": lambda: gr.Textbox("", label="Form: a letter for every eight bars", placeholder="AABA"),
        "chords": lambda: gr.Textbox("", label="Chords, one per bar", placeholder="C G Am F"),
        "intensity": lambda: gr.Slider(0, 2, usual.intensity, step=0.1, label="Intensity: how much the motion counts"),
        "instruments": lambda: gr.Textbox("", label="Instruments", placeholder="flute+piano"),
        "stems": lambda: gr.Checkbox(False, label="Stems: also a sound file for each part"),
        "dynamics": lambda: gr.Slider(0, 1, usual.dynamics, step=0.1, label="Dynamics"),
        "ending": lambda: gr.Radio(["fade", "resolve", "cut"], value=usual.ending, label="Ending"),
        "mix": lambda: gr.Radio(["replace", "duck", "keep"], value=usual.mix, label="The video's own sound"),
        "caption": lambda: gr.Textbox(
            "", label="The scene in your own words", placeholder="A slow, dark scene in cool colours."
        ),
    }
    known = [name for name in offered if name in known_wishes()]
    return known, [offered[name]() for name in known]


def example_videos(place: Path) -> list[str]:
    """The demo videos, if they have been fetched, and a drawn one that is always there."""
    from diffbgm.app.example import write_example

    demo = sorted(Path("data/demo").glob("*.mp4"))
    return [str(write_example(place / "example" / "shapes.mp4")), *map(str, demo)]
