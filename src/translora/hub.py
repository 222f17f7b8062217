"""The model and data hub: from disk where it is there, else over the network, else one clear line at once."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from urllib.parse import urlsplit

from translora.errors import ModelError, TransloraError

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


def require_network(what: str, error: type[TransloraError]) -> None:
    """Raise `error` at once, naming `what`, if the hub cannot be reached or `HF_HUB_OFFLINE` is set.

    Without this, a missing model costs up to 50 seconds of silent retries and a page of traceback.
    """
    from huggingface_hub.constants import ENDPOINT, HF_HUB_OFFLINE

    advice = "put it on disk and give its folder, or use mini, which needs no network"
    if HF_HUB_OFFLINE:
        raise error(f"{what} is not on disk, and HF_HUB_OFFLINE forbids the network: unset it, or {advice}")
    if os.environ.get("HTTPS_PROXY") or os.environ.get("https_proxy"):
        return
    address = urlsplit(ENDPOINT)
    try:
        socket.create_connection((address.hostname or "", address.port or 443), timeout=5).close()
    except OSError as reason:
        raise error(f"{what} is not on disk, and {address.hostname} is not reachable: {advice}") from reason
