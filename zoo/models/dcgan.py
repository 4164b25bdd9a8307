"""DCGAN: Unsupervised Representation Learning with Deep Convolutional Generative Adversarial Networks.

Radford, Metz and Chintala, ICLR 2016, https://arxiv.org/abs/1511.06434.

The generator projects noise z onto small feature maps and enlarges them by fractionally-strided convolutions;
the discriminator mirrors it with strided ones (sections 3 and 4, figure 1). Both play the game of Goodfellow
2014 with the non-saturating loss::

    L_D = -mean log D(x) - mean log(1 - D(G(z)))        L_G = -mean log D(G(z))

Where the paper is silent, its released code (https://github.com/Newmu/dcgan_code) is followed: no biases,
batch norm of the projection per unit, its gains drawn from N(1, .02).

Shapes: noise (B, latent_dim) becomes images (B, channels, size, size) in [-1, 1]; D returns logits (B, 1).
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any, Literal, Unpack

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo.adversarial import AdversarialModule, Batch, GameOptions, Terms, chunk
from zoo.bounds import Decay, NonNegativeInt, PositiveFloat, PositiveInt
from zoo.errors import UsageError, UserError
from zoo.losses import bce, nonsaturating

Kernel = Literal[5, 4]
Size = Literal[16, 32, 64, 128, 256]
TOGETHER = 64  # images that are made at least together if batch norm uses their statistics


class Generator(nn.Module):
    """A projection of the noise to maps of 4 x 4, then fractionally-strided convolutions (figure 1).

    Args:
        inputs: Width of the noise and, of a conditional model, of the class.
        channels: Channels of the image.
        size: Side of the image in pixels.
        width: Channels of the last hidden layer; each layer before it has twice as many.
        kernel: See :class:`DCGAN`.
        running: Whether batch norm keeps running statistics for inference.
    """

    def __init__(
        self, inputs: int, channels: int, size: Size, width: int, kernel: Kernel, running: bool
    ) -> None:
        super().__init__()
        widths = [
            width * 2**level for level in reversed(range(_levels(size)))
        ]  # 1024, 512, 256, 128 at 64 px
        self.first = widths[0]
        self.project = nn.Linear(inputs, 16 * self.first, bias=False)
        self.per_unit = kernel == 5
        self.norm = nn.BatchNorm1d(16 * self.first) if self.per_unit else nn.BatchNorm1d(self.first)
        layers: list[nn.Module] = []
        for before, after in pairwise(widths):
            layers += [_enlarging(before, after, kernel), nn.BatchNorm2d(after), nn.ReLU(inplace=True)]
        self.layers = nn.Sequential(*layers, _enlarging(widths[-1], channels, kernel), nn.Tanh())
        _initialise(self, running)

    def forward(self, z: Tensor) -> Tensor:
        """Noise (B, inputs) to images (B, channels, size, size) in [-1, 1].

        Raises:
            UserError: Batch norm per unit gets a batch of one in training.
        """
        if self.training and self.per_unit and len(z) == 1:
            raise UserError("Batch norm needs two images or more at once; raise data.batch_size.")
        x = self.project(z)  # (B, 16 first)
        x = self.norm(x if self.per_unit else x.view(-1, self.first, 16))
        image: Tensor = self.layers(F.relu(x).view(-1, self.first, 4, 4))
        return image


class Discriminator(nn.Module):
    """Strided convolutions with leaky ReLU and batch norm in all but the first, then one unit.

    Args:
        channels: Channels of the image and, of a conditional model, of the class.
        size: Side of the image in pixels.
        width: Channels of the first layer; each layer after it has twice as many.
        kernel: See :class:`DCGAN`.
        running: Whether batch norm keeps running statistics for inference.
    """

    def __init__(self, channels: int, size: Size, width: int, kernel: Kernel, running: bool) -> None:
        super().__init__()
        widths = [
            channels,
            *(width * 2**level for level in range(_levels(size))),
        ]  # 3, 128, ..., 1024 at 64 px
        self.blocks = nn.ModuleList()
        for before, after in pairwise(widths):
            layers: list[nn.Module] = [nn.Conv2d(before, after, kernel, 2, (kernel - 1) // 2, bias=False)]
            layers += [nn.BatchNorm2d(after)] if len(self.blocks) else []
            self.blocks.append(nn.Sequential(*layers, nn.LeakyReLU(0.2, inplace=True)))
        self.last = nn.Linear(16 * widths[-1], 1, bias=False)
        _initialise(self, running)

    def maps(self, image: Tensor) -> list[Tensor]:
        """The activations of each convolution, the last (B, ., 4, 4)."""
        found = [image]
        for block in self.blocks:
            found.append(block(found[-1]))
        return found[1:]

    def forward(self, image: Tensor) -> Tensor:
        """Images (B, channels, size, size) to logits (B, 1): the paper's sigmoid is part of the loss."""
        logits: Tensor = self.last(self.maps(image)[-1].flatten(1))
        return logits


def _enlarging(before: int, after: int, kernel: Kernel) -> nn.ConvTranspose2d:
    """A fractionally-strided convolution that doubles height and width."""
    return nn.ConvTranspose2d(before, after, kernel, 2, (kernel - 1) // 2, kernel % 2, bias=False)


def _levels(size: Size) -> int:
    """Layers of stride 2 between 4 x 4 and the image."""
    return int(math.log2(size)) - 2


def _initialise(network: nn.Module, running: bool) -> None:
    """Weights from N(0, .02) (section 4); gains of batch norm from N(1, .02), as the released code."""
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            nn.init.normal_(layer.weight, 0.0, 0.02)
        elif isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
            nn.init.normal_(layer.weight, 1.0, 0.02)
            if not running:  # without these it uses the batch's in evaluation mode too
                layer.running_mean = layer.running_var = layer.num_batches_tracked = None


class DCGAN(AdversarialModule):
    """Generate images like ``batch["image"]`` from noise.

    Args:
        size: Side of the images in pixels.
        channels: Channels of the images.
        classes: Classes of a conditional model, 0 for none, as in the paper. The class of ``batch["label"]``
            is one-hot, appended to the noise, and given to the discriminator as constant maps (Mirza 2014).
        kernel: Side of the convolutions: 5, the paper's, or 4, the widely used variant of the co-author's
            dcgan.torch and PyTorch's examples, whose projection is normalised per channel, not per unit. With
            ``width`` 64 and ``noise`` gaussian it is their network.
        latent_dim: Width of the noise.
        noise: Distribution of the noise: uniform on (-1, 1), or Gaussian.
        width: Channels of the layers nearest to the image; each further layer has twice as many.
        updates: ``both``: each batch updates the discriminator, then the generator; or ``either``, as in the
            released code: each minibatch updates one of them. A batch then holds ``d_steps`` + 1 minibatches;
            the first only counts, as the generator's update needs no images.
        d_steps: Updates of the discriminator per update of the generator with ``updates: either``.
        statistics: What batch norm uses in inference: ``running`` statistics, or those of the ``batch`` at
            hand, as in the released code; then a sample depends on those that are made with it.
        learning_rate: Adam's learning rate, for both players.
        betas: Adam's betas; the paper states the first.
        options: Averages, augmentation, clipping; see :class:`zoo.adversarial.GameOptions`.

    Examples:
        >>> DCGAN(size=32, channels=1, width=4).sample(2, seed=1).shape
        torch.Size([2, 1, 32, 32])
    """

    takes = "noise"
    gives = "picture"
    generator: Generator
    discriminator: Discriminator

    def __init__(
        self,
        size: Size = 64,
        channels: PositiveInt = 3,
        classes: NonNegativeInt = 0,
        kernel: Kernel = 5,
        latent_dim: PositiveInt = 100,
        noise: Literal["uniform", "gaussian"] = "uniform",
        width: PositiveInt = 128,
        updates: Literal["both", "either"] = "both",
        d_steps: PositiveInt = 1,
        statistics: Literal["running", "batch"] = "running",
        learning_rate: PositiveFloat = 2e-4,
        betas: tuple[Decay, Decay] = (0.5, 0.999),
        **options: Unpack[GameOptions],
    ) -> None:
        super().__init__(**options)
        self.save_hyperparameters()
        if d_steps > 1 and updates == "both":
            raise UsageError(f"model.d_steps {d_steps} needs model.updates either; set it to 1.")
        self.size, self.channels, self.classes = size, channels, classes
        self.latent_dim, self.noise_kind = latent_dim, noise
        self.updates, self.d_steps, self.statistics = updates, d_steps, statistics
        self.learning_rate, self.betas = learning_rate, betas
        running = statistics == "running"
        self.generator = Generator(latent_dim + classes, channels, size, width, kernel, running)
        self.discriminator = Discriminator(channels + classes, size, width, kernel, running)

    @classmethod
    def suited(cls, arguments: dict[str, Any], batch: Batch) -> dict[str, Any]:
        """Size and channels of the data."""
        return arguments | {"channels": batch["image"].shape[1], "size": batch["image"].shape[-1]}

    # ------------------------------------------------------------------------------- forward pass and losses

    def check(self, batch: Batch) -> None:
        """Refuse data of another shape, or without the classes of a conditional model."""
        self.real(batch)

    def real(self, batch: Batch) -> Tensor:
        """The batch's images (B, channels, size, size).

        Raises:
            UserError: The batch has none, of another shape, or no labels below ``classes``.
        """
        if "image" not in batch:
            raise UserError(f"The data give {', '.join(batch)} and no image; choose data of pictures.")
        image: Tensor = batch["image"]
        wanted = (self.channels, self.size, self.size)
        if image.shape[1:] != wanted:
            found = "x".join(map(str, image.shape[1:]))
            raise UserError(
                f"The images are {found} but the model makes {'x'.join(map(str, wanted))}; set "
                "model.channels and model.size to those of the data, or data.channels and data.size."
            )
        if self.classes and "label" not in batch:
            raise UserError(
                "model.classes needs data with labels, and these have none (nor has a split with a class "
                "that the training pictures lack); set it to 0."
            )
        return image

    def one_hot(self, labels: Tensor) -> Tensor:
        """Class numbers (B) as (B, classes).

        Raises:
            UserError: A number is too large.
        """
        if int(labels.max()) >= self.classes:
            raise UserError(
                f"The data have class {int(labels.max())} but model.classes is {self.classes}; raise it."
            )
        return F.one_hot(labels, self.classes).to(self.dtype)

    def noise(self, count: int) -> Tensor:
        """Noise (count, latent_dim) from torch's global RNG; of a conditional model the classes in turn."""
        z = self._noise(count)
        if not self.classes:
            return z
        return torch.cat([z, self.one_hot(torch.arange(count, device=self.device) % self.classes)], dim=1)

    def _noise(self, count: int) -> Tensor:
        size = (count, self.latent_dim)
        if self.noise_kind == "gaussian":
            return torch.randn(size, device=self.device).to(self.dtype)
        return torch.rand(size, device=self.device).to(self.dtype).mul_(2).sub_(1)

    def make(self, z: Tensor) -> Tensor:
        """Noise (B, latent_dim + classes) to images (B, channels, size, size) in [-1, 1]."""
        image: Tensor = self.generator(z)
        return image

    def generate(self, batch: Batch) -> Tensor:
        """As many fakes as ``batch`` has images, from fresh noise, of the same classes."""
        count = len(self.real(batch))
        z = self._noise(self.together(count))
        if self.classes:
            labels = batch["label"][torch.arange(len(z), device=self.device) % count]
            z = torch.cat([z, self.one_hot(labels)], dim=1)
        return self.make(z)[:count]

    def together(self, count: int) -> int:
        """Images to make at once for ``count`` of them: more in inference by the statistics of the batch."""
        return count if self.training or self.statistics == "running" else max(count, TOGETHER)

    def judge(self, batch: Batch, image: Tensor) -> Tensor:
        """The discriminator's logits (B, 1) for images, of the batch's classes if the model has some."""
        if not self.classes:
            seen = self.seen(image)
        else:
            maps = self.one_hot(batch["label"])[:, :, None, None].expand(-1, -1, self.size, self.size)
            seen = self.seen(image, maps)
        logits: Tensor = self.discriminator(seen)
        return logits

    def features(self, image: Tensor) -> list[Tensor]:
        """The discriminator's activations of each convolution, for section 5.

        Raises:
            UsageError: The model is conditional: its discriminator needs the classes.
        """
        if self.classes:
            raise UsageError("The features of a conditional discriminator need the classes; use classes 0.")
        return self.discriminator.maps(image)

    def discriminator_loss(self, batch: Batch, fake: Tensor) -> Terms:
        """``real``: -mean log D(x), ``fake``: -mean log(1 - D(G(z))), on separate batches for batch norm."""
        real, made = self.judge(batch, self.real(batch)), self.judge(batch, fake)
        return {"real": bce(real, 1.0), "fake": bce(made, 0.0)}

    def generator_loss(self, batch: Batch, fake: Tensor) -> Terms:
        """``adversarial``: -mean log D(G(z))."""
        return {"adversarial": nonsaturating(self.judge(batch, fake))}

    # ------------------------------------------------------------------------- training step and optimizers

    def training_step(self, batch: Batch, batch_idx: int) -> Terms:
        """Update both players on the batch, or each on minibatches of its own."""
        if self.updates == "both":
            return super().training_step(batch, batch_idx)
        count, parts = len(self.real(batch)), (self.d_steps + 1) * self.accumulate
        if count % parts or count < 2 * parts:
            raise UserError(
                f"A batch of {count} does not divide into {parts} minibatches of two images or more; set "
                f"data.batch_size to a multiple of {parts}, at least {2 * parts}."
            )
        own, *rest = chunk(batch, self.d_steps + 1)
        terms = self.generator_step(self.micro_batches(own))
        for minibatch in rest:
            terms |= self.discriminator_step(self.micro_batches(minibatch))
        return terms

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        """Adam for both players, at a constant rate (section 4)."""
        return self.adam(self.learning_rate, self.betas)

    # ---------------------------------------------------------------------------------------------------- use

    def preview(self, batch: Batch) -> dict[str, Tensor]:
        """Columns of a sample grid: real images and fakes."""
        return {"real": self.real(batch), "fake": self.generate(batch)}

    def sample(self, n: int, seed: int = 0) -> Tensor:
        """Draw ``n`` images (n, channels, size, size) in [-1, 1]; the same seed gives the same."""
        with self.in_use(seed):
            return self.forward(n)

    def forward(self, given: int, *maps: Tensor) -> Tensor:
        """As many fakes as ``given`` says, from fresh noise.

        Raises:
            UsageError: It is written as ONNX, and a sample depends on those that are made with it.
        """
        if self.statistics == "batch" and torch.compiler.is_exporting():
            raise UsageError("with model.statistics batch a sample depends on those that are made with it")
        return self.make(self.noise(self.together(given)))[:given]
