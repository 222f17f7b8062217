"""Whether the hub can be reached, told at once."""

from __future__ import annotations

import os
import socket
from urllib.parse import urlsplit

from translora.errors import TransloraError


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
