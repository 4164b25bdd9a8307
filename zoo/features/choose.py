"""Feature networks by the names used in commands and recipes."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn

from zoo.errors import UserError
from zoo.features.digits import PLANS, Kind, card, classifier, middle
from zoo.features.network import FeatureNetwork, Features, as_rgb

if TYPE_CHECKING:
    from zoo.features.inception import Resize

OWN = ("inception", "dinov2", "effnet-lite0", "face-api", "mnist", "digits")


def feature_network(
    name: str, weights: str | Path | None = None, resize: Resize | None = None
) -> FeatureNetwork:
    """Build a network by name, frozen and in evaluation mode.

    Args:
        name: ``inception`` (FID, KID, IS), ``dinov2``, ``effnet-lite0``, ``face-api`` (identity), ``mnist``
            and ``digits`` (the zoo's classifiers), or any timm network, such as ``resnet50.a1_in1k``.
        weights: A file to load instead of the network's own weights.
        resize: For ``inception`` only: ``tf1`` (the default) or ``clean``.

    Raises:
        UserError: There is no such network, it takes no such argument, or its weights are missing.
    """
    # imported on demand: timm alone takes seconds
    if resize is not None and name != "inception":
        raise UserError(f"The network {name} has one resize; leave resize={resize!r} out.")
    if name == "inception":
        from zoo.features.inception import Inception

        return Inception(resize or "tf1", weights)
    if name == "face-api":
        from zoo.features.face_identity import FaceIdentity

        return FaceIdentity(weights)
    if name in ("mnist", "digits", "effnet-lite0") and weights is not None:
        raise UserError(f"The network {name} comes with its weights; leave weights={str(weights)!r} out.")
    if name in ("mnist", "digits"):
        return DigitFeatures(cast(Kind, name))
    if name == "effnet-lite0":
        from zoo.features.effnet_lite0 import EffNetLite0

        return EffNetLite0()
    from zoo.features import backbones

    if name != "dinov2" and not backbones.known(name):
        near = difflib.get_close_matches(name, [*OWN, *backbones.names()], 3)
        meant = f", perhaps {' or '.join(near)}" if near else ""
        raise UserError(
            f"There is no feature network {name!r}; give {', '.join(OWN)}, or a network of timm's{meant}."
        )
    return backbones.TimmBackbone(name, weights)


class DigitFeatures(FeatureNetwork):
    """The zoo's classifier of handwritten digits: its last hidden layer and its logits (10).

    Args:
        kind: ``digits`` (8x8, 64 features) or ``mnist`` (28x28, 128 features).

    Raises:
        UserError: The weight file is damaged.
    """

    def __init__(self, kind: Kind) -> None:
        self.size = PLANS[kind].size
        network = list(classifier(kind).children())
        last = network.pop()
        assert isinstance(last, nn.Linear)
        super().__init__(kind, card(kind)["sha256"], last.in_features, f"none, {self.size}")
        self.hidden, self.last = nn.Sequential(*network), last
        self.eval()

    def forward(self, images: Tensor) -> Features:
        """Features of grey uint8 images (N, C, size, size); C is 1, or 3 equal channels.

        Of 32x32 pixels ``mnist`` takes the middle 28x28, so padded digits score as the digits do.

        Raises:
            UserError: They have another size, or colours.
        """
        pixels = as_rgb(images, self.name)
        if self.size == 28:
            pixels = middle(pixels)
        if pixels.shape[2:] != (self.size, self.size):
            raise UserError(
                f"The network {self.name} takes images of {self.size} x {self.size} pixels, not "
                f"{' x '.join(map(str, pixels.shape[2:]))}; resize them or choose another network."
            )
        grey = pixels[:, :1]
        if not torch.equal(grey.expand_as(pixels), pixels):
            raise UserError(
                f"The network {self.name} takes grey images and these have colours; make them grey or "
                "choose another network."
            )
        features = self.hidden(grey / 127.5 - 1)
        return Features(features, self.last(features))
