"""pix2pix: Image-to-Image Translation with Conditional Adversarial Networks.

Isola, Zhu, Zhou and Efros, CVPR 2017, https://arxiv.org/abs/1611.07004.

The generator G translates an input image x into a target y; the discriminator D judges pairs by patches::

    L_cGAN(G, D) = E log D(x, y) + E log(1 - D(x, G(x)))        (1)
    L_L1(G)      = E |y - G(x)|                                 (3)
    G*           = arg min_G max_D L_cGAN(G, D) + lambda L_L1   (4)

In practice D minimises half of its objective, which slows it down relative to G, and G maximises log D(x,
G(x)) (section 3.3). There is no noise vector: dropout is the only source of randomness, in training and in
use alike. Images are (B, C, H, W) in [-1, 1]; D returns one logit per patch, (B, 1, 30, 30) for images of 256
pixels and patches of 70. As in the authors' PyTorch code, a step updates D, then G against the updated D.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal, Unpack

import torch
import torch.nn.functional as F
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

from zoo.adversarial import AdversarialModule, Batch, GameOptions, Terms
from zoo.bounds import Decay, Fraction, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt
from zoo.errors import UsageError, UserError
from zoo.losses import bce, least_squares

Norm = Literal["batch", "instance"]
Upsampling = Literal["transposed", "resize"]
Field = Literal[1, 16, 34, 70, 286]
STRIDED: dict[int, int] = {16: 1, 34: 2, 70: 3, 286: 5}  # receptive field -> layers of stride 2


class UNet(nn.Module):
    """Encoder-decoder with skip connections between mirrored layers (appendix 6.1.1).

    With 8 levels and width 64 the encoder is C64-C128-C256-C512-C512-C512-C512-C512, the last at 1 x 1 for
    256 pixels, and the decoder CD512-CD512-CD512-C512-C256-C128-C64-output.

    Args:
        in_channels: Channels of the input image.
        out_channels: Channels of the output image.
        levels: Downsamplings to the bottleneck; H and W must be multiples of ``2**levels``.
        width: Channels of the outermost layer.
        norm: Normalisation of all layers but the first, the bottleneck and the last.
        dropout: Dropout probability.
        dropout_at: Blocks of the decoder with dropout, counted from 1 at the bottleneck.
        skips: Whether there are skip connections; without them it is the paper's encoder-decoder.
        upsampling: See :class:`Pix2Pix`.
        full_size_layers: See :class:`Pix2Pix`.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        levels: int,
        width: int,
        norm: Norm,
        dropout: float,
        dropout_at: tuple[int, ...],
        skips: bool = True,
        upsampling: Upsampling = "transposed",
        full_size_layers: int = 0,
    ) -> None:
        super().__init__()
        self.skips = skips
        widths = [width * min(2**level, 8) for level in range(levels)]
        bias = norm == "instance"  # a bias before batch norm has no effect: the norm has its own shift
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        for level, channels in enumerate(widths):
            before = widths[level - 1] if level else in_channels
            layers: list[nn.Module] = [nn.LeakyReLU(0.2, inplace=True)] if level else []
            layers.append(nn.Conv2d(before, channels, 4, stride=2, padding=1, bias=bias))
            if 0 < level < levels - 1:  # not at the bottleneck: a norm would erase its one value per channel
                layers.append(normalisation(norm, channels))
            self.down.append(nn.Sequential(*layers))
        for block, level in enumerate(reversed(range(levels)), start=1):
            before = widths[level] * (2 if skips and block > 1 else 1)
            channels = widths[level - 1] if level else out_channels
            layers = [nn.ReLU(inplace=True)]
            if upsampling == "transposed":
                layers.append(nn.ConvTranspose2d(before, channels, 4, 2, 1, bias=bias or not level))
            else:
                layers.append(nn.Upsample(scale_factor=2))
                for _ in range(0 if level else full_size_layers):
                    layers += [nn.Conv2d(before, width, 3, padding=1), nn.ReLU(inplace=True)]
                    before = width
                layers.append(nn.Conv2d(before, channels, 3, padding=1, bias=bias or not level))
            layers.append(normalisation(norm, channels) if level else nn.Tanh())
            if level and block in dropout_at:
                layers.append(nn.Dropout(dropout))
            self.up.append(nn.Sequential(*layers))

    def forward(self, x: Tensor) -> Tensor:
        """Translate ``x`` (B, in_channels, H, W) to (B, out_channels, H, W)."""
        encoded = []
        for down in self.down:
            x = down(x)
            encoded.append(x)
        encoded.pop()
        # Each leaky ReLU has changed the level above in place. This saves a copy and changes nothing: the
        # decoder begins with a ReLU, and ReLU of leaky ReLU is ReLU.
        for up in self.up:
            x = up(x)
            if self.skips and encoded:
                x = torch.cat([encoded.pop(), x], dim=1)
        return x


class PatchGAN(nn.Module):
    """Discriminator that judges each patch of an image on its own (section 3.2.2, appendix 6.1.2).

    A receptive field of 70 is C64-C128-C256-C512; one of 1 is C64-C128 of 1 x 1 convolutions.

    Args:
        in_channels: Channels of its input: the generator's input and output concatenated.
        width: Channels of the first layer.
        receptive_field: Side of a patch in pixels.
        norm: Normalisation of all layers but the first and the last.
    """

    def __init__(self, in_channels: int, width: int, receptive_field: Field, norm: Norm) -> None:
        super().__init__()
        bias = norm == "instance"
        if receptive_field == 1:
            self.layers = nn.Sequential(
                nn.Conv2d(in_channels, width, 1),
                nn.LeakyReLU(0.2, inplace=True),
                nn.Conv2d(width, 2 * width, 1, bias=bias),
                normalisation(norm, 2 * width),
                nn.LeakyReLU(0.2, inplace=True),
                nn.Conv2d(2 * width, 1, 1, bias=bias),
            )
            return
        strided = STRIDED[receptive_field]
        layers: list[nn.Module] = [
            nn.Conv2d(in_channels, width, 4, stride=2, padding=1),
            nn.LeakyReLU(0.2, inplace=True),
        ]
        channels = width
        for depth in range(1, strided + 1):
            before, channels = channels, width * min(2**depth, 8)
            layers += [
                nn.Conv2d(before, channels, 4, stride=2 if depth < strided else 1, padding=1, bias=bias),
                normalisation(norm, channels),
                nn.LeakyReLU(0.2, inplace=True),
            ]
        self.layers = nn.Sequential(*layers, nn.Conv2d(channels, 1, 4, stride=1, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        """One logit per patch, (B, 1, h, w)."""
        logits: Tensor = self.layers(x)
        return logits


def normalisation(norm: Norm, channels: int) -> nn.Module:
    """Batch norm with scale and shift, or instance norm without."""
    return nn.BatchNorm2d(channels) if norm == "batch" else nn.InstanceNorm2d(channels)


def initialise(module: nn.Module) -> None:
    """Draw weights from N(0, 0.02) (section 3.3), scales of norms from N(1, 0.02); set biases to 0."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(module.weight, 0.0, 0.02)
        if module.bias is not None:
            # differs: the authors' Torch code zeroes these biases before each step, so that they never learn
            nn.init.zeros_(module.bias)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1.0, 0.02)
        nn.init.zeros_(module.bias)


@contextmanager
def as_in_training(network: nn.Module) -> Iterator[None]:
    """Temporarily enable dropout and batch statistics; the running statistics are not updated."""
    was_training = network.training
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.track_running_stats = False
    network.train()
    try:
        yield
    finally:
        network.train(was_training)
        for norm in norms:
            norm.track_running_stats = True


class Pix2Pix(AdversarialModule):
    """Translate ``batch["input"]`` into ``batch["target"]``.

    Args:
        generator: ``unet``, the paper's; ``encoder_decoder``, the same without skip connections (section
            4.3); ``resnet``, an option of the authors' PyTorch code (:mod:`zoo.references.pix2pix`).
        levels: Downsamplings of the U-Net or encoder-decoder: 8 for 256 pixels, 7 for 128, 6 for 64.
        blocks: Residual blocks of ``resnet``: 9 for 256 pixels, 6 for smaller images.
        width: Channels of the generator's outermost layer.
        receptive_field: Side in pixels of the patches that the discriminator judges (section 4.4).
        discriminator_width: Channels of the discriminator's first layer.
        in_channels: Channels of ``input``.
        out_channels: Channels of ``target``.
        norm: ``batch``, the paper's, or ``instance``.
        dropout: Dropout probability in the decoder's blocks ``dropout_at``, or in each residual block.
        dropout_at: Blocks of the decoder with dropout, counted from 1 at the bottleneck (the authors' PyTorch
            code has it in 2, 3, 4).
        upsampling: ``transposed`` convolutions, the paper's, or ``resize``: nearest neighbours, then a
            convolution of 3 x 3, for the U-Net and the encoder-decoder.
        full_size_layers: Further convolutions of 3 x 3 and ``width`` channels at the output's size, with
            ``resize``; none in the paper, whose last features have half of that size.
        loss: ``vanilla`` is equation 1 on logits; ``lsgan`` is least squares, an option of the PyTorch code.
        adversarial: Whether there is an adversarial loss; without it only L1 is left and the discriminator is
            never updated (section 4.1, row "L1").
        conditional: Whether the discriminator sees the input too; without it the rows "GAN" and "L1+GAN".
        lambda_l1: Weight of the L1 term (section 4.1); 0 gives the rows "GAN" and "cGAN".
        learning_rate: Adam's learning rate, for both players.
        betas: Adam's betas.
        epochs_constant: Epochs at the full learning rate before it decays; without ``epochs_decay`` all are.
        epochs_decay: Epochs of linear decay to zero, 0 for the paper's constant rate (PyTorch code: 100).
        inference: ``paper``: dropout, and batch norm with the statistics of each image, a batch of one
            (section 3.3); ``running``: no dropout, and the running statistics of training.

    Examples:
        >>> Pix2Pix(levels=4, width=8, in_channels=1).sample(torch.zeros(2, 1, 30, 50)).shape
        torch.Size([2, 3, 30, 50])
    """

    takes = "picture"
    gives = "picture"

    def __init__(
        self,
        generator: Literal["unet", "encoder_decoder", "resnet"] = "unet",
        levels: PositiveInt = 8,
        blocks: NonNegativeInt = 9,
        width: PositiveInt = 64,
        receptive_field: Field = 70,
        discriminator_width: PositiveInt = 64,
        in_channels: PositiveInt = 3,
        out_channels: PositiveInt = 3,
        norm: Norm = "batch",
        dropout: Fraction = 0.5,
        dropout_at: tuple[PositiveInt, ...] = (1, 2, 3),
        upsampling: Upsampling = "transposed",
        full_size_layers: NonNegativeInt = 0,
        loss: Literal["vanilla", "lsgan"] = "vanilla",
        adversarial: bool = True,
        conditional: bool = True,
        lambda_l1: NonNegativeFloat = 100.0,
        learning_rate: PositiveFloat = 2e-4,
        betas: tuple[Decay, Decay] = (0.5, 0.999),
        epochs_constant: NonNegativeInt = 100,
        epochs_decay: NonNegativeInt = 0,
        inference: Literal["paper", "running"] = "paper",
        **options: Unpack[GameOptions],
    ) -> None:
        super().__init__(**options)
        self.save_hyperparameters()
        if not adversarial and not lambda_l1:
            raise UsageError(
                "model.adversarial is false and model.lambda_l1 is 0: nothing is left to learn from."
            )
        if full_size_layers and (upsampling != "resize" or generator == "resnet"):
            raise UsageError(
                "model.full_size_layers needs model.upsampling resize, and a generator that is not resnet."
            )
        if not 2 <= levels <= 16:
            raise UsageError(f"model.levels must be 2 to 16 (8 for 256 pixels), not {levels}.")
        self.in_channels, self.out_channels = in_channels, out_channels
        self.loss, self.adversarial, self.conditional = loss, adversarial, conditional
        self.lambda_l1, self.learning_rate, self.betas = lambda_l1, learning_rate, betas
        self.epochs_constant, self.epochs_decay, self.inference = epochs_constant, epochs_decay, inference
        self.multiple = 4 if generator == "resnet" else 2**levels  # H and W are multiples of this
        # side of the image that has one patch
        self.smallest = 3 * 2 ** STRIDED[receptive_field] if receptive_field > 1 else 1
        if generator == "resnet":
            from zoo.references.pix2pix import ResidualGenerator

            self.generator = ResidualGenerator(in_channels, out_channels, blocks, width, norm, dropout)
        else:
            skips = generator == "unet"
            self.generator = UNet(
                in_channels,
                out_channels,
                levels,
                width,
                norm,
                dropout,
                dropout_at,
                skips,
                upsampling,
                full_size_layers,
            )
        seen = out_channels + (in_channels if conditional else 0)
        self.discriminator = PatchGAN(seen, discriminator_width, receptive_field, norm)
        self.apply(initialise)

    @classmethod
    def suited(cls, arguments: dict[str, Any], batch: Batch) -> dict[str, Any]:
        """Channels of the data, and no more levels or larger patches than its pictures allow."""
        height, width = batch["input"].shape[-2:]
        levels = max(n for n in range(17) if height % 2**n == 0 and width % 2**n == 0)
        fields = [1, *(field for field, depth in STRIDED.items() if 3 * 2**depth <= min(height, width))]
        return arguments | {
            "in_channels": batch["input"].shape[1],
            "out_channels": batch["target"].shape[1],
            "levels": min(arguments.get("levels", 8), levels),
            "receptive_field": min(arguments.get("receptive_field", 70), max(fields)),
        }

    def settings_in_use(self) -> dict[str, Any]:
        """Whether dropout and the statistics of each image are in use."""
        return {"inference": self.inference}

    def generate(self, batch: Batch) -> Tensor:
        """The translation of ``batch["input"]``, (B, out_channels, H, W) in [-1, 1].

        With ``inference: paper`` each image in use is a batch of its own, so that none depends on another.

        Raises:
            UserError: Channels or size of the batch do not fit the networks.
        """
        self.check(batch)
        # differs: channels stay in RGB order; the authors' Torch code swaps them to BGR
        if self.training or self.inference == "running":
            fake: Tensor = self.generator(batch["input"])
            return fake
        with as_in_training(self.generator):
            return torch.cat([self.generator(x) for x in batch["input"].split(1)])

    def discriminator_loss(self, batch: Batch, fake: Tensor) -> Terms:
        """Half of the objective (section 3.3), on separate batches of fakes and reals for batch norm."""
        return {
            "fake": 0.5 * self.distance(self.judge(batch, fake), 0.0),
            "real": 0.5 * self.distance(self.judge(batch, batch["target"]), 1.0),
        }

    def generator_loss(self, batch: Batch, fake: Tensor) -> Terms:
        """The adversarial loss against the updated discriminator, and the L1 distance (equation 4)."""
        terms = {}
        if self.adversarial:
            # differs: the authors' Torch code takes D's output from before its update
            terms["adversarial"] = self.distance(self.judge(batch, fake), 1.0)
        if self.lambda_l1:
            terms["l1"] = self.lambda_l1 * F.l1_loss(fake, batch["target"])
        return terms

    def judge(self, batch: Batch, image: Tensor) -> Tensor:
        """The discriminator's logits (B, 1, h, w) for ``image`` as a translation of the batch's input."""
        logits: Tensor = self.discriminator(self.seen(image, *[batch["input"]] * self.conditional))
        return logits

    def distance(self, logits: Tensor, target: float) -> Tensor:
        """The adversarial loss of ``logits`` against ``target``, 1 for real and 0 for fake."""
        return bce(logits, target) if self.loss == "vanilla" else least_squares(logits, target)

    def training_step(self, batch: Batch, batch_idx: int) -> Terms:
        """Update the discriminator, then the generator; with L1 alone only the generator."""
        if self.adversarial:
            return super().training_step(batch, batch_idx)
        return self.generator_step(self.micro_batches(batch))

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Adam for both players (section 3.3)."""
        optimizers = self.adam(self.learning_rate, self.betas)
        if not self.epochs_decay:
            return optimizers
        first, epochs = self.epochs_constant, self.epochs_decay

        def rate(epoch: int) -> float:
            return 1.0 - min(max(0, epoch + 1 - first) / (epochs + 1), 1.0)

        return optimizers, [LambdaLR(optimizer, rate) for optimizer in optimizers]

    def preview(self, batch: Batch) -> dict[str, Tensor]:
        """Columns of a sample grid."""
        return {"input": batch["input"], "fake": self.generate(batch), "target": batch["target"]}

    def sample(self, images: Tensor, seed: int = 0) -> Tensor:
        """Translate images of any size; none depends on another.

        Args:
            images: (B, in_channels, H, W) in [-1, 1].
            seed: Seed of dropout, if ``inference`` has it; the same for each image.

        Returns:
            (B, out_channels, H, W) in [-1, 1].

        Raises:
            UserError: The images have another number of channels.
        """
        weight, outputs = next(self.generator.parameters()), []
        # batch norm with the statistics of each image needs a batch of one
        for part in torch.split(images, self.at_once if self.inference == "running" else 1):
            with self.in_use(seed):
                x, window = self.padded(part.to(weight))
                outputs.append(self.generate({"input": x})[window])
        return torch.cat(outputs)

    def check(self, batch: Batch) -> None:
        """Refuse images whose channels or size do not fit the networks.

        Raises:
            UserError: Names the argument to change.
        """
        for key, wanted, name in (("input", self.in_channels, "in"), ("target", self.out_channels, "out")):
            if key in batch and batch[key].shape[1] != wanted:
                raise UserError(
                    f"The {key} has {batch[key].shape[1]} channels but model.{name}_channels is {wanted}; "
                    f"set it, or data.{key}_channels, to the same number."
                )
        height, width = batch["input"].shape[-2:]
        if height % self.multiple or width % self.multiple:
            raise UserError(
                f"Images of {height}x{width} do not fit: the generator needs multiples of {self.multiple}; "
                "set data.size to one, or model.levels to fewer."
            )
        if self.training and self.adversarial and min(height, width) < self.smallest:
            raise UserError(
                f"Images of {height}x{width} are too small: this discriminator needs {self.smallest}; "
                "set model.receptive_field to a smaller one, or data.size to a larger one."
            )
