"""Tiny random models of the classes that `features=clip` uses, saved as the hub would save them."""

import json
from pathlib import Path

import torch

WORDS = "a the scene bike road man dog slow fast bright dark in on of and . [unused0]".split()
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
VOCABULARY = SPECIAL + WORDS
BERT_WIDTH = 48
CLIP_WIDTH = 24


def _tokenizer(folder: Path):
    from transformers import BertTokenizer

    tokenizer = BertTokenizer(vocab={word: index for index, word in enumerate(VOCABULARY)})
    tokenizer.save_pretrained(folder)
    return tokenizer


def save_bert(folder: Path) -> Path:
    """A one-layer BertModel of 48 numbers and a vocabulary of 22 words."""
    from transformers import BertConfig, BertModel

    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(VOCABULARY),
        hidden_size=BERT_WIDTH,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=64,
    )
    BertModel(config).save_pretrained(folder)
    _tokenizer(folder)
    return folder


def save_blip(folder: Path) -> Path:
    """A one-layer BLIP captioner for 32 x 32 pictures."""
    from transformers import BlipConfig, BlipForConditionalGeneration, BlipImageProcessor, BlipProcessor

    torch.manual_seed(0)
    layer = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    config = BlipConfig(
        text_config={
            **layer,
            "vocab_size": len(VOCABULARY),
            "encoder_hidden_size": 32,
            "max_position_embeddings": 64,
            "bos_token_id": 2,
            "eos_token_id": 3,
            "sep_token_id": 3,
            "pad_token_id": 0,
        },
        vision_config={**layer, "image_size": 32, "patch_size": 8},
        projection_dim=16,
        image_text_hidden_size=16,
    )
    model = BlipForConditionalGeneration(config)
    with torch.no_grad():
        for parameter in model.parameters():  # the default scale is so small that every picture looks the same
            if parameter.ndim > 1:
                parameter.normal_(0.0, 0.5)
    model.save_pretrained(folder)
    BlipProcessor(BlipImageProcessor(size={"height": 32, "width": 32}), _tokenizer(folder)).save_pretrained(folder)
    return folder


def save_clip(folder: Path) -> Path:
    """An open_clip model for 32 x 32 pictures that gives 24 numbers."""
    from open_clip.model import CLIP
    from safetensors.torch import save_file

    torch.manual_seed(0)
    config = {
        "embed_dim": CLIP_WIDTH,
        "vision_cfg": {"image_size": 32, "layers": 1, "width": 64, "patch_size": 8},
        "text_cfg": {"context_length": 8, "vocab_size": 32, "width": 32, "heads": 2, "layers": 1},
    }
    preprocess = {"mean": [0.5] * 3, "std": [0.25] * 3, "interpolation": "bicubic", "resize_mode": "shortest"}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": config, "preprocess_cfg": preprocess}))
    weights = {key: value.contiguous() for key, value in CLIP(**config).state_dict().items()}
    save_file(weights, folder / "open_clip_model.safetensors")
    return folder
