"""The whole network: conditioner and U-Net, built from a plain config.

    network = build_network({"unet": {...}, "conditioner": {"visual_width": 9, "language_width": 384, ...}})
    encoded = network.encode(condition)          # once per video
    prediction = network(x, t, encoded)          # at each step

Shape legend: B batch, C planes of a roll, S steps, P pitches.
"""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from diffbgm.datasets.batch import Condition
from diffbgm.fields import check
from diffbgm.models.adapter import RollUNet
from diffbgm.models.conditioner import Conditioner, Encoded, FeatureSelector
from diffbgm.models.config import ModelConfig

_HINTS = ("unet.beat", "unet.estimate", "unet.theme", "unet.reference")
ENDS = ("unet.input_blocks.0.", "unet.out.", *_HINTS, "conditioner.")
"""Name prefixes of the input and output layers, which Muon leaves to AdamW (training/muon.py)."""


class DiffBGM(nn.Module):
    """Predicts eps or x0 logits, depending on its objective, from a noisy roll, t and a condition."""

    def __init__(self, unet: RollUNet, conditioner: Conditioner) -> None:
        super().__init__()
        self.unet = unet
        self.conditioner = conditioner

    @property
    def self_condition(self) -> bool:
        """Whether the network takes its previous estimate of x0 as an input."""
        return self.unet.estimate is not None

    @property
    def theme_condition(self) -> bool:
        """Whether the network takes a theme as a condition."""
        return self.unet.theme is not None

    @property
    def reference_condition(self) -> bool:
        """Whether the network takes a passage to resemble as a condition."""
        return self.unet.reference is not None

    @property
    def planes(self) -> int:
        """Planes of its rolls: 2, or 4 with separate lead and accompaniment (music/parts.py)."""
        return self.unet.planes

    def encode(self, condition: Condition) -> Encoded:
        """The tokens of a condition, which are the same for every step."""
        return self.conditioner.encode(condition)

    def forward(
        self,
        x: Tensor,
        t: Tensor,
        condition: Condition | Encoded,
        drop: Tensor | None = None,
        estimate: Tensor | None = None,
    ) -> Tensor:
        """Prediction (B, C, S, P) for x (B, C, S, P) at t (B,), optionally with an `estimate` of x0 (B, C, S, P).

        A raw `condition` is encoded here, so that wrappers of forward (DDP, FSDP, autocast) see all parameters in use.
        Samples where `drop` (B,) is True get the null condition.
        """
        encoded = self.encode(condition) if isinstance(condition, Condition) else condition
        if drop is not None:
            encoded = self.conditioner.drop(encoded, drop)
        tokens = self.conditioner(encoded, t)
        window = encoded.window if encoded.uniform is None else encoded.uniform
        return self.unet(x, t, tokens, window, encoded.visual, estimate, encoded.theme, encoded.reference)


def build_network(config: ModelConfig | Mapping[str, Any]) -> DiffBGM:
    """A newly initialised network from its config, or from {"unet": {...}, "conditioner": {...}} as in configs/model.

    d_cond is taken from the U-Net. Raises InputError for options that are unknown, missing or out of range.
    """
    if not isinstance(config, ModelConfig):
        config = check(ModelConfig, config, "model")
    unet = RollUNet(**vars(config.unet))
    options = dict(vars(config.conditioner))
    selector = FeatureSelector(**vars(options.pop("selector")), width=unet.d_cond)
    return DiffBGM(unet, Conditioner(selector=selector, d_cond=unet.d_cond, **options))
