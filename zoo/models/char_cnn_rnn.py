"""Char-CNN-RNN: Learning Deep Representations of Fine-grained Visual Descriptions.

Reed, Akata, Schiele and Lee, CVPR 2016, https://arxiv.org/abs/1605.05395: the text encoder of GAN-INT-CLS.

A sentence's vector t is to have a large inner product with the features v of its image, and a smaller one, by
a margin of 1, with those of images of other classes; and the reverse (symmetric structured joint embedding,
equations 3 to 5). Over a batch of N pairs::

    L = sum_ij [max(0, 1 + v_i t_j - v_i t_i) + max(0, 1 + v_j t_i - v_i t_i)] / N^2     i, j of other classes

Settings are those of the released code (https://github.com/reedscot/cvpr2016): features of a frozen network,
RMSprop, a rate that decays every epoch, weights from U(-.08, .08), batches of 40.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.optim.lr_scheduler import ExponentialLR

from zoo.adversarial import Batch
from zoo.bounds import Decay, Fraction, PositiveFloat, PositiveInt
from zoo.errors import UserError
from zoo.features.text import CharCnnRnn, one_hot
from zoo.guards import GuardedModule


class ImageEncoder(nn.Module):
    """A small network that learns image features with the sentences, where no pretrained one is wanted.

    Args:
        dimension: Length of features.
        width: Channels of the first layer; doubled by each of the next three.
    """

    def __init__(self, dimension: int, width: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before = 3
        for level in range(4):
            after = width << level
            layers += [nn.Conv2d(before, after, 3, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU()]
            layers += [nn.MaxPool2d(2)] if level < 3 else [nn.AdaptiveAvgPool2d(4)]
            before = after
        self.layers = nn.Sequential(*layers, nn.Flatten(), nn.Linear(16 * before, dimension))

    def forward(self, image: Tensor) -> Tensor:
        """Images (B, 3, H, W) in [-1, 1], 8 pixels and more, to features (B, dimension)."""
        features: Tensor = self.layers(image)
        return features


class CharCNNRNN(GuardedModule):
    """Learn vectors of ``batch["caption"]`` and, if asked for, features of ``batch["image"]``.

    Args:
        width: Channels of the last convolution and of the RNN.
        dimension: Length of vectors and features.
        dropout: Dropout before the last layer of the text.
        image_network: Network of the image features, frozen: a name of :mod:`zoo.features.choose`; or
            ``trained``, a small one that learns with the text.
        image_features: Length of the frozen network's features; a dense layer brings them to ``dimension``.
        image_width: Channels of the first layer of ``trained``.
        negatives: ``class``: sentences of other classes are wrong, as in the paper; ``instance``: those of
            all other images, where there are no classes or a sentence says more than its class.
        learning_rate: RMSprop's learning rate.
        decay: Factor of the learning rate after each epoch.

    Examples:
        >>> model = CharCNNRNN(width=4, dimension=8, image_network="trained", image_width=2)
        >>> model.text.encode(["a red bird"]).shape
        torch.Size([1, 8])
    """

    def __init__(
        self,
        width: PositiveInt = 256,
        dimension: PositiveInt = 1024,
        dropout: Fraction = 0.0,
        image_network: str = "inception",  # differs: the first GoogLeNet, which no package here has
        image_features: PositiveInt = 2048,
        image_width: PositiveInt = 32,
        negatives: Literal["class", "instance"] = "class",
        learning_rate: PositiveFloat = 7e-4,
        decay: Decay = 0.98,
    ) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.dimension, self.image_network, self.negatives = dimension, image_network, negatives
        self.learning_rate, self.decay = learning_rate, decay
        self.text = CharCnnRnn(width, dimension, dropout)
        for parameter in self.text.parameters():
            nn.init.uniform_(parameter, -0.08, 0.08)
        is_trained = image_network == "trained"
        self.image = (
            ImageEncoder(dimension, image_width) if is_trained else nn.Linear(image_features, dimension)
        )
        self._network: list[nn.Module] = []  # a plain list keeps the frozen network out of checkpoints
        self.example_input_array = torch.zeros(2, *one_hot(["a"]).shape[1:])

    def setup(self, stage: str) -> None:
        """Load the frozen network, so that errors come early.

        Raises:
            UserError: It is missing, or its features have another length.
        """
        if self.image_network == "trained" or self._network:
            return
        from zoo.features.choose import feature_network  # late: some take seconds

        network, expected = feature_network(self.image_network), self.image.in_features
        if network.dimension != expected:
            raise UserError(
                f"The features of {self.image_network} have {network.dimension} numbers, but "
                f"model.image_features is {expected}; set it to that."
            )
        self._network.append(network)

    def check(self, batch: Batch) -> None:
        """Refuse data without sentences, or without classes if these are needed.

        Raises:
            UserError: Says what to set.
        """
        if "caption" not in batch or "image" not in batch:
            raise UserError("The data give no captions; choose captioned pictures.")
        if self.negatives == "class" and "category" not in batch:
            raise UserError("The data have no classes; set model.negatives to instance.")

    # -------------------------------------------------------------------------------- the two sides, and loss

    def forward(self, characters: Tensor) -> Tensor:
        """Vectors (B, dimension) of one-hot characters (B, 70, 201)."""
        vectors: Tensor = self.text(characters)
        return vectors

    def of_images(self, image: Tensor) -> Tensor:
        """Features (B, dimension) of images (B, 3, H, W) in [-1, 1]."""
        x = image
        if self.image_network != "trained":
            self.setup("")
            with torch.no_grad():
                pixels = ((image + 1) * 127.5).round().to(torch.uint8)
                x = self._network[0].to(self.device)(pixels).features
        features: Tensor = self.image(x)
        return features

    def both(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Vectors of the batch's sentences and features of its images, each (B, dimension)."""
        return self(one_hot(batch["caption"]).to(self.device)), self.of_images(batch["image"])

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """The symmetric structured joint embedding loss.

        Mismatched images that the data give (``wrong_image``) are wrong too, each for its own sentence.
        """
        text, image = self.both(batch)
        if self.negatives == "class":
            category: Tensor = batch["category"]
        else:
            category = torch.arange(len(text), device=text.device)
        loss, right = joint_embedding(text, image, category)
        if "wrong_image" in batch:
            wrong = (text * self.of_images(batch["wrong_image"])).sum(1)
            loss = loss + F.relu(1 + wrong - (text * image).sum(1)).mean()
        self.log_dict({"train/loss": loss, "train/top-1": right})
        return loss

    def test_step(self, batch: Batch, batch_idx: int) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        """Vectors and features, for evaluators."""
        return self.both(batch)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """RMSprop; the rate decays every epoch."""
        optimizer = torch.optim.RMSprop(self.parameters(), self.learning_rate, alpha=0.99)
        return [optimizer], [ExponentialLR(optimizer, self.decay)]


def joint_embedding(text: Tensor, image: Tensor, category: Tensor) -> tuple[Tensor, Tensor]:
    """The loss of a batch, and the share of images whose own sentence has the largest score.

    Args:
        text: Vectors (B, D); sentence i is of image i.
        image: Features (B, D).
        category: Classes (B) of the images; pairs of equal class are no mistake.
    """
    scores = image @ text.T  # of image i with sentence j
    own = scores.diagonal()
    other = category[:, None] != category[None, :]
    mistakes = F.relu(1 + scores - own[:, None]) + F.relu(1 + scores - own[None, :])
    right = (scores.argmax(1) == torch.arange(len(own), device=own.device)).float().mean()
    return (mistakes * other).sum() / len(own) ** 2, right
