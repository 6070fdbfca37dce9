"""musicnn, an audio tagger, in torch: the embedding of the retrieval metric.

The network is Pons & Serra, "musicnn: Pre-trained convolutional neural networks for music audio tagging", 2019 (ISC
licence), the model trained on MagnaTagATune. Its weights were converted from the musicnn 0.1.0 wheel and are stored
next to this file; their licence is in musicnn.LICENSE. Tags equal TensorFlow's to 1e-6 (tests). Two faults of the
original extractor are avoided: it takes logarithms in float16, which overflows on loud audio, and it returns the same
`penultimate` for every patch.

Shape legend: n samples, B patches, T frames (62.5 Hz), F mel bands, C channels.
"""

from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from diffbgm.errors import InputError
from diffbgm.extras import extra

WEIGHTS = Path(__file__).with_name("musicnn.safetensors")
SAMPLE_RATE = 16000
FFT, HOP, BANDS = 512, 256, 96
PATCH = 187  # frames: 3 s
EMBEDDING, TAGS = 200, 50
TIMBRAL = ((7, 38), (7, 67))  # (frames, bands) of the timbral filters of the front end
TEMPORAL = (128, 64, 32)  # frames of the temporal filters of the front end
BATCH = 32  # patches


class Block(nn.Module):
    """Convolution, ReLU, batch normalisation, maximum over all bands: (B, 1, T, F) -> (B, T, C)."""

    def __init__(self, channels: int, kernel: tuple[int, int]) -> None:
        super().__init__()
        before = (kernel[0] - 1) // 2
        self.pad = (before, kernel[0] - 1 - before)  # TensorFlow's "same" in time
        self.conv = nn.Conv2d(1, channels, kernel)
        self.norm = nn.BatchNorm2d(channels, eps=1e-3)

    def forward(self, x: Tensor) -> Tensor:
        x = nn.functional.pad(x, (0, 0, *self.pad))
        return self.norm(self.conv(x).relu()).amax(dim=3).transpose(1, 2)


class MusiCNN(nn.Module):
    """Log-mel patches (B, T, F) -> tags (B, 50) in [0, 1] and the penultimate layer (B, 200)."""

    def __init__(self) -> None:
        super().__init__()
        self.input_norm = nn.BatchNorm2d(1, eps=1e-3)
        timbral = [Block(204, kernel) for kernel in TIMBRAL]
        temporal = [Block(51, (frames, 1)) for frames in TEMPORAL]
        self.front = nn.ModuleList(timbral + temporal)
        width = 2 * 204 + 3 * 51
        self.middle = nn.ModuleList(Block(64, (7, w)) for w in (width, 64, 64))
        self.pool_norm = nn.BatchNorm1d(2 * (width + 3 * 64), eps=1e-3)
        self.dense = nn.Linear(2 * (width + 3 * 64), EMBEDDING)
        self.dense_norm = nn.BatchNorm1d(EMBEDDING, eps=1e-3)
        self.output = nn.Linear(EMBEDDING, TAGS)

    def forward(self, patches: Tensor) -> tuple[Tensor, Tensor]:
        x = self.input_norm(patches[:, None])
        front = torch.cat([block(x) for block in self.front], dim=2)  # (B, T, 561)
        first = self.middle[0](front[:, None])
        second = first + self.middle[1](first[:, None])
        third = second + self.middle[2](second[:, None])
        features = torch.cat([front, first, second, third], dim=2)  # (B, T, 753)
        pooled = torch.stack([features.amax(dim=1), features.mean(dim=1)], dim=2).flatten(1)
        penultimate = self.dense_norm(self.dense(self.pool_norm(pooled)).relu())
        return self.output(penultimate).sigmoid(), penultimate


def load_musicnn(path: str | Path = WEIGHTS) -> MusiCNN:
    """The network with its weights, in evaluation mode. Raises InputError if `path` does not hold such weights."""
    network = MusiCNN()
    fresh = {key: value for key, value in network.state_dict().items() if key.endswith("num_batches_tracked")}
    try:
        network.load_state_dict({**fresh, **load_file(path)})
    except (OSError, SafetensorError, RuntimeError) as error:
        raise InputError(
            f"{path} does not hold the weights of musicnn; leave musicnn= out to use the shipped ones"
        ) from error
    return network.eval()


def log_mel(audio: np.ndarray) -> np.ndarray:
    """Log-mel patches (B, T, F) of mono audio (n,) at 16 kHz: log10(1 + 10,000 power), 3 s each without overlap.

    A partial last patch is dropped; audio shorter than one patch is padded with silence.
    """
    with extra("eval"):
        import librosa  # a second to load

    power = librosa.feature.melspectrogram(y=audio, sr=SAMPLE_RATE, n_fft=FFT, hop_length=HOP, n_mels=BANDS)
    frames = np.log10(1 + 10000 * power.T).astype(np.float32)
    if len(frames) < PATCH:
        frames = np.pad(frames, ((0, PATCH - len(frames)), (0, 0)))
    count = len(frames) // PATCH
    return frames[: count * PATCH].reshape(count, PATCH, BANDS)


@torch.no_grad()
def rows(network: MusiCNN, audio: np.ndarray) -> np.ndarray:
    """The penultimate layer (B, 200) for every 3 s patch of mono audio (n,) at 16 kHz."""
    device = next(network.parameters()).device
    patches = torch.from_numpy(log_mel(audio)).to(device)
    return torch.cat([network(part)[1] for part in patches.split(BATCH)]).cpu().numpy()


def embed(network: MusiCNN, audio: np.ndarray) -> np.ndarray:
    """The embedding (200,) of mono audio (n,) at 16 kHz: the mean of its rows."""
    return rows(network, audio).mean(axis=0)
