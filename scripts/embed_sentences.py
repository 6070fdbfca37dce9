"""Embed the 27 built-in sentences with MiniLM into diffbgm/video/sentences.npz; run again where the sentences change.

python scripts/embed_sentences.py
"""

import numpy as np

from diffbgm.files import atomic
from diffbgm.video.captions import SENTENCE_TABLE, MiniLMEmbedder
from diffbgm.video.streams import SENTENCES


def main() -> None:
    """Write the table, one sentence at a time so that no padding enters."""
    embeddings = MiniLMEmbedder(batch_size=1).embed(SENTENCES)
    with atomic(SENTENCE_TABLE) as path:
        np.savez(path, sentences=np.array(SENTENCES), embeddings=embeddings)
    print(f"{len(SENTENCES)} sentences, {embeddings.shape[1]} numbers each: {SENTENCE_TABLE}")


if __name__ == "__main__":
    main()
