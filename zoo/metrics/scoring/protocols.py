"""Protocols: names that fix everything a score depends on besides the images.

A protocol is written ``METRIC-NETWORK``: ``fd`` (Frechet distance), ``kid``, ``is`` or ``prdc``, and a name
of :func:`zoo.features.choose.feature_network`, as in ``fd-mnist`` or ``kid-effnet-lite0``. Presets name those
that papers use; ``artefacts`` needs no network. Only the official Inception weights give the names FID, KID
and IS; scores with other weights carry their hash.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

from zoo.errors import UsageError

if TYPE_CHECKING:
    from zoo.features.network import FeatureNetwork

OfFeatures = Literal["fd", "kid", "is", "prdc"]
Metric = Literal[OfFeatures, "artefacts"]
Resize = Literal["tf1", "clean"]

KID_SUBSETS, KID_SIZE = 100, 1_000  # torch-fidelity's, like the seeds of KID and IS
IS_SPLITS = 10
NEAREST = {"precision": 3, "recall": 3, "density": 5, "coverage": 5}  # k of Kynkaanniemi 2019 and Naeem 2020


@dataclass(frozen=True)
class Protocol:
    """A way to score images.

    Args:
        name: Requested name: ``fid-tf``, ``kid-mnist``.
        metric: Metric to compute.
        network: Name of the feature network; empty for ``artefacts``.
        resize: Resize filter of Inception: ``tf1`` or ``clean``.
    """

    name: str
    metric: Metric
    network: str
    resize: Resize | None = None

    def title(self, network: FeatureNetwork) -> str:
        """Name of the score: ``fid-tf``; with unofficial weights the metric and the network's own name."""
        if network.name == self.network:
            return self.name
        return f"{self.metric}-{network.name}" + ("-clean" if self.resize == "clean" else "")

    def settings(self) -> dict[str, Any]:
        """Settings that are fixed besides the network."""
        return {"protocol": f"{self.name}/1", "metric": WORDS[self.metric]}


WORDS: dict[Metric, str] = {
    "fd": "Frechet distance, float64",
    "kid": "kernel distance, polynomial of degree 3",
    "is": f"inception score, at most {IS_SPLITS} splits of a random order",
    "prdc": ", ".join(f"{name} k={k}" for name, k in NEAREST.items()),
    "artefacts": "traces that all images share, beside the real set's own",
}
PRESETS = {
    protocol.name: protocol
    for protocol in (
        Protocol("fid-tf", "fd", "inception", "tf1"),
        Protocol("fid-clean", "fd", "inception", "clean"),
        Protocol("kid", "kid", "inception", "tf1"),
        Protocol("is", "is", "inception", "tf1"),
        Protocol("prdc", "prdc", "inception", "tf1"),
        Protocol("fd-dinov2", "fd", "dinov2"),
        Protocol("artefacts", "artefacts", ""),
    )
}


def protocol(name: str) -> Protocol:
    """The protocol of a name.

    Raises:
        UsageError: The name is neither a preset nor METRIC-NETWORK.
    """
    if name in PRESETS:
        return PRESETS[name]
    metric, _, network = name.partition("-")
    if metric == "fid" or not network or metric not in get_args(OfFeatures):
        meant = f" (with a network other than Inception it is fd-{network})" if metric == "fid" else ""
        raise UsageError(
            f"There is no protocol {name}{meant}; give {', '.join(PRESETS)}, or METRIC-NETWORK with one of "
            f"{', '.join(get_args(OfFeatures))}, such as fd-mnist or kid-effnet-lite0."
        )
    return Protocol(name, metric, network)  # type: ignore[arg-type]
