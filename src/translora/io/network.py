"""Whether the hub can be reached, told at once."""

from __future__ import annotations

import socket
from urllib.parse import SplitResult, urlsplit
from urllib.request import getproxies, proxy_bypass

from translora.errors import TransloraError

_PORTS = {"http": 80, "https": 443, "socks5": 1080, "socks5h": 1080}


def require_network(missing: str, error: type[TransloraError]) -> None:
    """Raise `error` at once if the hub cannot be reached or `HF_HUB_OFFLINE` is set; `missing` says what is not there.

    Where a proxy leads to the hub, by the environment or the system's settings, it is the proxy that must answer.

    Without this, a missing model costs up to 50 seconds of silent retries and a page of traceback.
    """
    from huggingface_hub.constants import ENDPOINT, HF_HUB_OFFLINE

    advice = "put it on disk and give its folder, or use mini, which needs no network"
    if HF_HUB_OFFLINE:
        raise error(f"{missing}, and HF_HUB_OFFLINE forbids the network: unset it, or {advice}")
    hub = urlsplit(ENDPOINT)
    proxy = _proxy_to(hub)
    address = proxy or hub
    try:
        port = address.port or _PORTS.get(address.scheme, 443)
        socket.create_connection((address.hostname or "", port), timeout=5).close()
    except (OSError, ValueError) as reason:  # ValueError: a port that is no number
        what = f"the proxy {address.hostname}" if proxy else str(address.hostname)
        raise error(f"{missing}, and {what} is not reachable: {advice}") from reason


def _proxy_to(address: SplitResult) -> SplitResult | None:
    """The proxy that leads to `address`; None where there is none, or `NO_PROXY` names the host."""
    proxies = getproxies()
    found = proxies.get(address.scheme) or proxies.get("all")
    if not found or proxy_bypass(address.hostname or ""):
        return None
    return urlsplit(found if "://" in found else f"http://{found}")
