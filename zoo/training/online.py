"""Whether Weights & Biases can be reached; ``zoo doctor`` and a run decide it alike."""

from __future__ import annotations

import netrc
import os
import socket
from urllib.parse import urlparse


def missing_for_online(base_url: str) -> str | None:
    """What an online run lacks, in words; None if it has a key and a reachable host."""
    url = urlparse(base_url)
    host = url.hostname or base_url
    if not os.environ.get("WANDB_API_KEY"):
        try:
            known = netrc.netrc().authenticators(host)
        except (OSError, netrc.NetrcParseError):
            known = None
        if known is None:
            return "there is no API key (`wandb login` stores one)"
    try:
        socket.create_connection((host, url.port or 443), timeout=3).close()
    except OSError:
        return f"{host} cannot be reached"
    return None
