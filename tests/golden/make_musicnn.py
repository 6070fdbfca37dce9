"""Make tests/golden/musicnn.json: TensorFlow's outputs of musicnn's MagnaTagATune model for random patches.

In an environment of its own, with the wheel that `pip download --no-deps musicnn==0.1.0` fetches:

    pip install "tensorflow-cpu==2.15.*" librosa
    PYTHONPATH=pretrained/musicnn-0.1.0-py3-none-any.whl python tests/golden/make_musicnn.py
"""

import json
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import tensorflow as tf
from musicnn import models

HERE = Path(__file__).resolve().parent
WHEEL = HERE.parents[1] / "pretrained" / "musicnn-0.1.0-py3-none-any.whl"


def patches() -> np.ndarray:
    """Two patches (2, 187, 96) in the range of log-mel spectra."""
    return (4 * np.random.default_rng(0).random((2, 187, 96)) ** 2).astype(np.float32)


def main() -> None:
    tf.compat.v1.disable_eager_execution()
    with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(WHEEL) as wheel:
        wheel.extractall(folder)
        with tf.name_scope("model"):
            x = tf.compat.v1.placeholder(tf.float32, [None, 187, 96])
            training = tf.compat.v1.placeholder(tf.bool)
            outputs = models.define_model(x, training, "MTT_musicnn", 50)
        with tf.compat.v1.Session() as session:
            tf.compat.v1.train.Saver().restore(session, f"{folder}/musicnn/MTT_musicnn/")
            tags, penultimate = session.run([tf.nn.sigmoid(outputs[0]), outputs[-1]], {x: patches(), training: False})
    golden = {"tags": tags.astype(float).tolist(), "penultimate": penultimate.astype(float).tolist()}
    (HERE / "musicnn.json").write_text(json.dumps(golden) + "\n")


if __name__ == "__main__":
    main()
