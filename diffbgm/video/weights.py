"""Find pretrained models in a local folder or on the Hugging Face hub."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from diffbgm.errors import InputError
from diffbgm.fields import field

if TYPE_CHECKING:
    import torch

FILES = ("*.json", "*.txt", "*.safetensors")
OLD_FILES = ("pytorch_model.bin",)  # only for models without safetensors; transformers reads it with weights_only=True


@dataclass(frozen=True)
class Weights:
    """A model by its hub name and revision, and the local folder that is searched first.

    What computes with them checks them (`ClipSettings`, `CaptionerSettings`, `EmbedderSettings`).
    """

    name: str = field(length=(1, 200), help="on the hub")
    revision: str = field("main", length=(1, 200), help="a branch, a tag or a commit")
    folder: str | None = field(None, length=(1, 4096), help="searched first")

    @property
    def id(self) -> str:
        """Identifies these weights in cache keys."""
        return f"{self.name}@{self.revision}"

    def find(self) -> Path:
        """A folder with the model's files: `folder` if it holds them, else the hub's download or cache.

        Raises InputError if neither has the model.
        """
        if self.folder is not None and any(Path(self.folder).glob("*config.json")):
            return Path(self.folder)
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HfHubHTTPError

        try:
            found = Path(snapshot_download(self.name, revision=self.revision, allow_patterns=list(FILES)))
            if not any(found.glob("*.safetensors")):
                snapshot_download(self.name, revision=self.revision, allow_patterns=list(OLD_FILES))
            return found
        except (OSError, ValueError, HfHubHTTPError) as error:  # ValueError: a name that no hub can have
            place = self.folder or f"pretrained/{self.name.rsplit('/', maxsplit=1)[-1]}"
            raise InputError(
                f"cannot find the model {self.name}: put its files into {place}, connect to the hub it comes from, "
                "or use features=lite, which needs no download"
            ) from error


@contextlib.contextmanager
def loading(weights: Weights) -> Iterator[Path]:
    """Yield the folder to load a model from. Failures inside become InputError.

    Progress bars and reports of transformers are switched off inside, and restored afterwards.
    """
    from safetensors import SafetensorError
    from transformers.utils import logging

    folder = weights.find()
    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield folder
    except InputError:
        raise
    except (OSError, ValueError, RuntimeError, KeyError, SafetensorError) as error:
        reason = str(error).strip().split("\n")[0][:200]
        raise InputError(
            f"cannot load the model {weights.name} from {folder} ({reason}); put its complete files there, "
            "or use features=lite, which needs no download"
        ) from error
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()


def on_device(model: Any, device: "torch.device | None", half: bool) -> Any:
    """The model in evaluation mode on a device (None: where it is), in float16 if `half` and the device is a GPU."""
    if device is not None:
        model = model.half() if half and device.type == "cuda" else model
        model = model.to(device)
    return model.eval()
