"""Models of the hub: from disk where they are there, else over the network, else one clear line at once."""

from __future__ import annotations

from pathlib import Path

from translora.errors import ModelError
from translora.io.network import require_network

_MODEL_FILES = ["*.json", "*.safetensors", "*.model", "*.txt"]


def fetch_model(name: str, revision: str = "") -> Path:
    """The folder of a hub model on disk, downloaded if it is not there yet; never pickled weights or code.

    Raises `ModelError` where the hub does not have it or cannot be reached.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, RepositoryNotFoundError

    try:
        return Path(snapshot_download(name, revision=revision or None, local_files_only=True))
    except LocalEntryNotFoundError:
        require_network(f"model {name}", ModelError)
    try:
        return Path(snapshot_download(name, revision=revision or None, allow_patterns=_MODEL_FILES))
    except RepositoryNotFoundError as error:
        raise ModelError(f"model {name}: the hub has no public model of that name: check the spelling") from error
    except (HfHubHTTPError, OSError) as error:
        raise ModelError(f"model {name}: the download failed ({str(error).splitlines()[0]}): try again") from error
