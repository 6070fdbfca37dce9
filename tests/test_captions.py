"""Captions and their vectors: the shipped table, MiniLM for real, BERT and BLIP as tiny models of the same classes."""

import numpy as np
import pytest
import torch
from tiny_models import BERT_WIDTH, VOCABULARY, save_bert, save_blip

from diffbgm.errors import InputError
from diffbgm.video.captions import BertEmbedder, BlipCaptioner, MiniLMEmbedder, sentence_table
from diffbgm.video.streams import SENTENCES
from diffbgm.video.weights import Weights


@pytest.fixture(scope="module")
def bert(tmp_path_factory) -> Weights:
    return Weights("tiny-bert", folder=str(save_bert(tmp_path_factory.mktemp("bert"))))


@pytest.fixture(scope="module")
def blip(tmp_path_factory) -> Weights:
    return Weights("tiny-blip", folder=str(save_blip(tmp_path_factory.mktemp("blip"))))


@pytest.fixture(scope="module")
def minilm() -> MiniLMEmbedder:
    return MiniLMEmbedder()


def test_shipped_table_is_minilm_of_the_sentences(minilm) -> None:
    table = sentence_table()
    assert table.shape == (27, 384)
    assert table.dtype == np.float32
    assert minilm.embed(SENTENCES) == pytest.approx(table, abs=1e-5)


def test_minilm_knows_meaning_and_length(minilm) -> None:
    vectors = minilm.embed(["A dog runs over the beach.", "A puppy races along the shore.", "Quarterly tax returns."])
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1, abs=1e-5)
    assert vectors[0] @ vectors[1] > 0.5 > vectors[0] @ vectors[2] + 0.2
    assert (minilm.embed(["A dog runs over the beach."]) == minilm.embed(["A dog runs over the beach."])).all()
    assert minilm.embed([]).shape == (0, 384)


@pytest.mark.parametrize("pooling", ["cls", "mean", "pooler"])
def test_bert_pooling(bert, pooling) -> None:
    from transformers import AutoTokenizer, BertModel

    texts = ["a slow dog", "the man on the road .", "fast bike"]
    embedder = BertEmbedder(bert, width=BERT_WIDTH, pooling=pooling, batch_size=2)
    vectors = embedder.embed(texts)
    assert vectors.shape == (3, BERT_WIDTH)
    assert vectors.dtype == np.float32
    tokens = AutoTokenizer.from_pretrained(bert.folder)([texts[1]], return_tensors="pt")
    with torch.no_grad():
        output = BertModel.from_pretrained(bert.folder).eval()(**tokens)
    state = output.last_hidden_state[0]
    expected = {"cls": state[0], "mean": state.mean(0), "pooler": output.pooler_output[0]}[pooling]
    assert vectors[1] == pytest.approx(expected.numpy(), abs=1e-5)


def test_batches_do_not_matter(bert) -> None:
    texts = ["a dog", "a man on the road and a bike in the dark ."] * 3
    one, all_at_once = (BertEmbedder(bert, width=BERT_WIDTH, batch_size=size).embed(texts) for size in (1, 6))
    assert one == pytest.approx(all_at_once, abs=1e-5)


def test_moving_to_a_device_reloads_there(bert) -> None:
    embedder = BertEmbedder(bert, width=BERT_WIDTH)
    before = embedder.embed(["a dog"])
    assert embedder.to(torch.device("cpu")) is embedder
    assert (embedder.embed(["a dog"]) == before).all()
    moved = BertEmbedder(bert, width=BERT_WIDTH).to(torch.device("meta"))
    assert moved._loaded[1].device.type == "meta"


def test_a_model_of_another_width_is_refused(bert) -> None:
    with pytest.raises(InputError, match="48 numbers a text, the configuration says 768"):
        BertEmbedder(bert).prepare()


def test_blip_captions_any_sizes_deterministically(blip) -> None:
    generator = np.random.default_rng(0)
    sizes = [(40, 30, 3), (32, 32, 3), (17, 60, 3)]
    pictures = [generator.integers(0, 256, size).astype(np.uint8) for size in sizes]
    captioner = BlipCaptioner(blip, batch_size=2, max_new_tokens=6)
    captions = captioner.caption(pictures)
    assert len(captions) == 3
    assert set(" ".join(captions).replace(".", " . ").split()) <= set(VOCABULARY)
    assert len(set(captions)) > 1
    assert captions == BlipCaptioner(blip, batch_size=3, max_new_tokens=6).caption(pictures)
    assert captioner.caption([]) == []


def test_missing_weights_are_one_sentence(monkeypatch, tmp_path) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    weights = Weights("nobody/no-such-model", folder=str(tmp_path / "none"))
    with pytest.raises(InputError, match=r"nobody/no-such-model: put its files into .*none.*features=lite"):
        BlipCaptioner(weights).prepare()
