"""From the features of a video to condition tokens: projection, feature selection and the null condition.

Shape legend: B batch, T beats, Dv and Dl widths of visual and language features, D width of the tokens (d_cond).
Feature selection is Diff-BGM's (Li et al. 2024): language shapes the early, noisy steps (t > 200), video the late ones.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from diffbgm.datasets.batch import Condition
from diffbgm.errors import InputError

HINTS = ("theme", "reference")  # optional conditions besides the video
STRATEGIES = ("video", "language", "random", "concat", "video_language", "language_video")


@dataclass(frozen=True)
class Encoded:
    """An encoded condition, the network's input; computed once per video or training batch."""

    language: Tensor  # (B, T, D)
    visual: Tensor  # (B, T, D)
    window: Tensor  # (B,) long, beats per attention window
    uniform: int | None  # the window if all samples share one (attention then splits instead of masking), else None
    theme: Tensor | None = None  # (B, T, 16), as in Condition
    reference: Tensor | None = None  # (B, C + 1, S, P), as in Condition
    draw: Tensor | None = None  # (B,) long, a number per sample from which the selector "random" derives its draws

    def __len__(self) -> int:
        return len(self.visual)

    def rows(self, index: Tensor | Sequence[int] | slice) -> "Encoded":
        """Chosen samples, in the order of `index`."""
        hints = {name: getattr(self, name) for name in (*HINTS, "draw")}
        told = {name: hint[index] for name, hint in hints.items() if hint is not None}
        parts = {name: getattr(self, name)[index] for name in ("language", "visual", "window")}
        return replace(self, **parts, **told)

    @staticmethod
    def concatenate(parts: "Sequence[Encoded]") -> "Encoded":
        """The samples of all parts, concatenated; a hint must be present in all parts or in none."""
        windows = {part.uniform for part in parts}
        told: dict[str, Tensor] = {}
        for name in (*HINTS, "draw"):
            hints = [hint for hint in (getattr(part, name) for part in parts) if hint is not None]
            assert len(hints) in (0, len(parts))
            if hints:
                told[name] = torch.cat(hints)
        return Encoded(
            torch.cat([part.language for part in parts]),
            torch.cat([part.visual for part in parts]),
            torch.cat([part.window for part in parts]),
            windows.pop() if len(windows) == 1 else None,
            **told,
        )


class FeatureSelector(nn.Module):
    """Which modality conditions a denoising step, decided for each sample from its own t."""

    def __init__(self, strategy: str, switch: int = 200, width: int | None = None, seed: int = 0) -> None:
        """`width` (D) is needed only by "concat"; `seed` fixes the draws of "random" when sampling."""
        super().__init__()
        if strategy not in STRATEGIES:
            raise InputError(f"there is no selector strategy {strategy!r}; choose one of {', '.join(STRATEGIES)}")
        self.strategy, self.switch, self.seed = strategy, switch, seed
        self.merge: nn.Linear | None = None
        if strategy == "concat":
            assert width is not None, "concat needs the width of the tokens"
            self.merge = nn.Linear(2 * width, width)

    def forward(
        self,
        language: Tensor,
        visual: Tensor,
        t: Tensor,
        generator: torch.Generator | None = None,
        draw: Tensor | None = None,
    ) -> Tensor:
        """Tokens (B, T, D) from language and visual (B, T, D) at t (B,).

        "random" draws for each sample at each step: from `generator` if given; otherwise, in training, from torch's
        global generator (which the trainer seeds with seed and step) and, when sampling, from a hash of (seed, draw, t)
        with `draw` (B,) long, so that the choices of a sample do not depend on the rest of the batch.
        """
        if self.strategy == "video":
            return visual
        if self.strategy == "language":
            return language
        if self.merge is not None:
            return self.merge(torch.cat([language, visual], dim=-1))
        if self.strategy == "random":
            speaks = self._draw(t, generator, draw)
        else:
            speaks = (t > self.switch) == (self.strategy == "language_video")
        return torch.where(speaks[:, None, None], language, visual)

    def _draw(self, t: Tensor, generator: torch.Generator | None, draw: Tensor | None) -> Tensor:
        """(B,) bool, True with probability one half."""
        if generator is not None:
            return (torch.rand(len(t), generator=generator, device=generator.device) < 0.5).to(t.device)
        if self.training:
            return torch.rand(len(t), device=t.device) < 0.5
        own = 0 if draw is None else draw.long() * 0xC2B2AE3D
        mixed = (t.long() * 0x9E3779B1 + (self.seed + 1) * 0x85EBCA77 + own) & 0xFFFFFFFF
        for multiplier in (0x7FEB352D, 0x846CA68B):
            mixed = ((mixed ^ (mixed >> 16)) * multiplier) & 0xFFFFFFFF
        return (mixed >> 16) % 2 == 0


class Conditioner(nn.Module):
    """Projects both modalities to the width of the tokens, selects one per step, and knows the null condition."""

    def __init__(
        self,
        visual_width: int,
        language_width: int,
        d_cond: int,
        selector: FeatureSelector,
        null: str = "learned",
        padding: str = "null",
        project_visual: bool = True,
        normalise: bool = False,
    ) -> None:
        """`null`: "learned" or "minus_one" (the release); `padding`: beats after the video's end are "null" or "zero".

        Without `project_visual` the visual features themselves are the tokens (the release; needs visual_width D).
        `normalise` applies a LayerNorm to the tokens of both modalities, to bring them to the same scale (sentence
        embeddings have length 1, so their tokens would be ten times smaller than those of the visual streams).
        Raises InputError for an unknown choice or widths that do not fit.
        """
        super().__init__()
        if null not in ("learned", "minus_one") or padding not in ("null", "zero"):
            raise InputError(
                f"null={null!r} padding={padding!r} is unknown; choose null=learned or minus_one, padding=null or zero"
            )
        if not project_visual and visual_width != d_cond:
            raise InputError(
                f"visual features of width {visual_width} cannot be tokens of width {d_cond}; set project_visual=true"
            )
        self.visual_width, self.language_width, self.padding = visual_width, language_width, padding
        self.selector = selector
        self.language = nn.Linear(language_width, d_cond)
        self.visual = nn.Linear(visual_width, d_cond) if project_visual else nn.Identity()
        self.language_norm = nn.LayerNorm(d_cond) if normalise else nn.Identity()
        self.visual_norm = nn.LayerNorm(d_cond) if normalise else nn.Identity()
        learned = null == "learned"
        self.null_language = _small(d_cond) if learned else None
        self.null_visual = _small(d_cond) if learned else None

    def encode(self, condition: Condition) -> Encoded:
        """The tokens of both modalities. Raises InputError if the widths of the features are not the model's."""
        widths = (condition.visual.shape[-1], condition.language.shape[-1])
        if widths != (self.visual_width, self.language_width):
            raise InputError(
                f"features of widths {widths} (visual, language) do not fit a model made for "
                f"{(self.visual_width, self.language_width)}; use the features named in its config"
            )
        valid = condition.valid[..., None]
        language = self.language_norm(self.language(torch.where(valid, condition.language, 0.0)))
        visual = self.visual_norm(self.visual(torch.where(valid, condition.visual, 0.0)))
        if self.padding == "null":
            language = torch.where(valid, language, self._null(self.null_language, language))
            visual = torch.where(valid, visual, self._null(self.null_visual, visual))
        low, high = torch.stack([condition.window.min(), condition.window.max()]).tolist()
        uniform = low if low == high else None
        return Encoded(language, visual, condition.window, uniform, condition.theme, condition.reference)

    def drop(self, encoded: Encoded, drop: Tensor) -> Encoded:
        """`encoded` with the null condition for samples where `drop` (B,) is True; hints are not dropped."""
        where = drop[:, None, None]
        return replace(
            encoded,
            language=torch.where(where, self._null(self.null_language, encoded.language), encoded.language),
            visual=torch.where(where, self._null(self.null_visual, encoded.visual), encoded.visual),
        )

    def null(self, encoded: Encoded) -> Encoded:
        """The null condition for every sample of `encoded`, for classifier-free guidance."""
        return self.drop(encoded, torch.ones(len(encoded), dtype=torch.bool, device=encoded.window.device))

    def without(self, encoded: Encoded, modality: str) -> Encoded:
        """`encoded` with "language" or "visual" replaced by the null condition."""
        if modality == "language":
            null = self._null(self.null_language, encoded.language)
            return replace(encoded, language=null.expand_as(encoded.language))
        null = self._null(self.null_visual, encoded.visual)
        return replace(encoded, visual=null.expand_as(encoded.visual))

    @staticmethod
    def _null(learned: Tensor | None, like: Tensor) -> Tensor:
        return like.new_tensor(-1.0) if learned is None else learned.to(like.dtype)

    def forward(self, encoded: Encoded, t: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """The tokens (B, T, D) that attention sees at t (B,)."""
        return self.selector(encoded.language, encoded.visual, t, generator, encoded.draw)


def _small(width: int) -> nn.Parameter:
    """A parameter (width,) of small random numbers.

    On the meta device nothing is drawn, because that would import torch's compiler, which takes as long as the rest of
    loading a checkpoint.
    """
    layout = torch.empty(width)
    return nn.Parameter(layout if layout.is_meta else 0.02 * torch.randn(width))
