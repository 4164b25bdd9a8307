"""GAN-INT-CLS: Generative Adversarial Text to Image Synthesis.

Reed, Akata, Yan, Logeswaran, Schiele and Lee, ICML 2016, https://arxiv.org/abs/1605.05396.

Both players see the embedding t of a sentence (section 4, figure 2). The discriminator is matching-aware
(4.2): besides real and generated images it rejects real ones whose sentence is of another image::

    L_D = -log D(x, t) - (log(1 - D(x', t)) + log(1 - D(G(z, t), t))) / 2        x': an image of another class
    L_G = -log D(G(z, t), t)

With manifold interpolation (4.3) L_G has embeddings between those of the batch's sentences as well; the
discriminator never learns from those. A style encoder S inverts the frozen generator (4.4), so that a
sentence can be shown in the style of a picture::

    L_S = |z - S(G(z, t))|^2

The released code (https://github.com/reedscot/icml2016) is followed where the paper is silent: residual
blocks, widths, initialisation, one and a half batches for the generator.

Shapes: noise (B, latent_dim) and embeddings (B, text_dim) become images (B, 3, S, S) in [-1, 1], S = 64; D
returns logits (B, 1).
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import partial
from itertools import pairwise
from math import gcd
from typing import Any, Literal, Self, Unpack

import torch
import torch.nn.functional as F
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

from zoo.adversarial import AdversarialModule, Batch, GameOptions, Player, Terms
from zoo.bounds import Decay, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt
from zoo.errors import UsageError, UserError
from zoo.guards import say
from zoo.losses import bce, nonsaturating

Size = Literal[32, 64, 128]
Interpolation = Literal["midpoint", "line", "none"]
Norm = Literal["batch", "group"]


class Residual(nn.Module):
    """A bottleneck of 1 x 1, 3 x 3 and 3 x 3 convolutions, added to its input.

    Args:
        width: Channels of input and output.
        inner: Channels between.
        activation: The activation, also after the addition.
        norm: Which norm follows each convolution.
    """

    def __init__(self, width: int, inner: int, activation: nn.Module, norm: Norm = "batch") -> None:
        super().__init__()
        self.activation = activation
        self.layers = nn.Sequential(
            *(nn.Conv2d(width, inner, 1), normalisation(norm, inner), activation),
            *(nn.Conv2d(inner, inner, 3, padding=1), normalisation(norm, inner), activation),
            *(nn.Conv2d(inner, width, 3, padding=1), normalisation(norm, width)),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, width, H, W) to the same shape."""
        y: Tensor = self.activation(x + self.layers(x))
        return y


class StyleEncoder(nn.Module):
    """Strided convolutions, as the discriminator's, then a dense layer to the noise (section 4.4).

    Args:
        latent_dim: Width of the noise.
        width: An eighth of the channels at 4 x 4.
        size: Side of the images, S.
    """

    def __init__(self, latent_dim: int, width: int, size: Size) -> None:
        super().__init__()
        widths = [3, *(max(1, 8 * width >> level) for level in reversed(range(doublings(size))))]
        layers: list[nn.Module] = []
        for before, after in pairwise(widths):
            layers += [nn.Conv2d(before, after, 4, 2, 1), nn.BatchNorm2d(after), nn.LeakyReLU(0.2)]
        self.layers = nn.Sequential(*layers, nn.Flatten(), nn.Linear(16 * widths[-1], latent_dim))

    def forward(self, image: Tensor) -> Tensor:
        """Images (B, 3, S, S) in [-1, 1] to noise (B, latent_dim)."""
        z: Tensor = self.layers(image)
        return z


class Generator(nn.Module):
    """A compressed embedding beside the noise, then transposed convolutions (figure 2, left).

    Args:
        latent_dim: Width of the noise.
        text_dim: Width of the embedding.
        compressed: Width that a dense layer compresses the embedding to.
        width: An eighth of the channels at 4 x 4; each doubling of the resolution halves them.
        size: Side of the images, S.
        style: The style encoder that inverts it, if there is one.
    """

    def __init__(
        self,
        latent_dim: int,
        text_dim: int,
        compressed: int,
        width: int,
        size: Size,
        style: StyleEncoder | None = None,
    ) -> None:
        super().__init__()
        self.style = style
        relu = nn.ReLU()
        widths = [max(1, 8 * width >> level) for level in range(doublings(size))]  # 1024, 512, 256, 128
        self.text = nn.Sequential(nn.Linear(text_dim, compressed), nn.LeakyReLU(0.2))
        layers: list[nn.Module] = [nn.ConvTranspose2d(latent_dim + compressed, widths[0], 4)]
        layers += [nn.BatchNorm2d(widths[0]), Residual(widths[0], widths[0] // 4, relu)]
        for level, (before, after) in enumerate(pairwise(widths)):
            layers += [nn.ConvTranspose2d(before, after, 4, 2, 1), nn.BatchNorm2d(after)]
            layers.append(relu if level else Residual(after, after // 4, relu))
        self.layers = nn.Sequential(*layers, nn.ConvTranspose2d(widths[-1], 3, 4, 2, 1), nn.Tanh())

    def forward(self, z: Tensor, text: Tensor) -> Tensor:
        """Noise (B, latent_dim) and embeddings (B, text_dim) to images (B, 3, S, S) in [-1, 1]."""
        joined = torch.cat([z, self.text(text)], dim=1)
        image: Tensor = self.layers(joined[:, :, None, None])
        return image


class Discriminator(nn.Module):
    """Strided convolutions to maps of 4 x 4, to which the compressed embedding is appended (figure 2, right).

    Args:
        text_dim: Width of the embedding.
        compressed: Width that a dense layer compresses the embedding to.
        width: An eighth of the channels at 4 x 4; each halving of the resolution doubles them.
        size: Side of the images, S.
        norm: Which norm follows its convolutions; batch norm follows the dense layer.
    """

    def __init__(self, text_dim: int, compressed: int, width: int, size: Size, norm: Norm) -> None:
        super().__init__()
        leaky = nn.LeakyReLU(0.2)
        self.text = nn.Sequential(nn.Linear(text_dim, compressed), nn.BatchNorm1d(compressed), leaky)
        widths = [max(1, 8 * width >> level) for level in reversed(range(doublings(size)))]
        layers: list[nn.Module] = [nn.Conv2d(3, widths[0], 4, 2, 1), leaky]
        for before, after in pairwise(widths):
            layers += [nn.Conv2d(before, after, 4, 2, 1), normalisation(norm, after)]
            if after < widths[-2]:  # none after the last two, as in the released code
                layers.append(leaky)
        self.layers = nn.Sequential(*layers, Residual(8 * width, 2 * width, leaky, norm))
        self.joined = nn.Sequential(
            *(nn.Conv2d(8 * width + compressed, 8 * width, 1), normalisation(norm, 8 * width), leaky),
            nn.Conv2d(8 * width, 1, 4),
        )

    def forward(self, image: Tensor, text: Tensor) -> tuple[Tensor, Tensor]:
        """Images (B, 3, S, S) and embeddings (B, text_dim) to logits (B, 1) and the maps of the image."""
        maps = self.layers(image)  # (B, 8 width, 4, 4)
        tiled = self.text(text)[:, :, None, None].expand(-1, -1, *maps.shape[2:])
        logits: Tensor = self.joined(torch.cat([maps, tiled], dim=1))
        return logits.flatten(1), maps


def doublings(size: Size) -> int:
    """Layers of stride 2 between 4 x 4 and the image."""
    return size.bit_length() - 3


def normalisation(norm: Norm, channels: int) -> nn.Module:
    """Batch norm, or group norm of at most 8 groups."""
    return nn.BatchNorm2d(channels) if norm == "batch" else nn.GroupNorm(gcd(8, channels), channels)


def initialise(network: nn.Module) -> None:
    """Convolutions from N(0, .02) with biases of 0, gains of batch norm from N(1, .02)."""
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(layer.weight, 0.0, 0.02)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
        elif isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
            nn.init.normal_(layer.weight, 1.0, 0.02)


class GANIntCLS(AdversarialModule):
    """Generate images like ``batch["image"]`` from the embeddings ``batch["text"]`` of their sentences.

    Args:
        size: Side of the images, S; sizes other than 64 have a layer of stride 2 less or more per network.
        text_dim: Width of the embeddings: 1024 of the char-CNN-RNN.
        latent_dim: Width of the noise, drawn from N(0, 1).
        compressed: Width that each player's own dense layer compresses an embedding to.
        text_scale: Factor of the embeddings. Those of length 1, as a bag of words and sentence transformers
            give, are small beside the noise; the square root of ``text_dim`` makes them as large.
        width: An eighth of the generator's channels at 4 x 4: 128 for birds and flowers, 196 for COCO.
        discriminator_width: An eighth of the discriminator's channels there: 64, and 196 for COCO.
        discriminator_norm: ``batch``; or ``group``, norm of groups of an image's own channels. The paper's
            batches of one kind (right, wrong, fake) let the discriminator tell the kinds by the statistics of
            a batch, so that it rejects mismatches without reading the sentence.
        players: ``paper``; or ``plain``, the networks of github.com/aelnouby/Text-to-Image-Synthesis without
            residual blocks (:mod:`zoo.references.gan_int_cls`), of 64 pixels and a width of 64.
        wrong_weight: Weight of the mismatched pairs in the discriminator's loss; 0 is a conditional GAN
            without CLS.
        fake_weight: Weight of the generated pairs there.
        real_target: What the discriminator should say of matching pairs; less than 1 is smoothed.
        lambda_matching: Weight of the squared distance between the batch's means of D's maps of generated and
            real images in the generator's loss; the paper has none.
        lambda_l1: Weight of the mean absolute difference to the real image there; the paper has none.
        interpolation: Embeddings that the generator learns from besides the batch's (INT): the ``midpoint``
            of each sample of the first half and its partner in the second; a random point on the ``line``
            through a sample, along its difference to the partner, at most as far as that; or ``none``.
        style: Train the style encoder S on the frozen generator, whose weights ``init_from`` gives, and keep
            both; the discriminator rests.
        zero_biases: Set the biases of all convolutions to 0 before each update, as the released code.
        learning_rate: Adam's learning rate, for both players.
        betas: Adam's betas.
        halve_every: Epochs after which the learning rate is halved, again and again; 0 keeps it.
        options: Averages, augmentation, clipping; see :class:`zoo.adversarial.GameOptions`.

    Examples:
        >>> model = GANIntCLS(text_dim=7, width=1, discriminator_width=1)
        >>> model.sample(torch.zeros(2, 7), seed=1).shape
        torch.Size([2, 3, 64, 64])
    """

    takes = "sentence"
    gives = "picture"

    def __init__(
        self,
        size: Size = 64,
        text_dim: PositiveInt = 1024,
        latent_dim: PositiveInt = 100,
        compressed: PositiveInt = 128,
        text_scale: PositiveFloat = 1.0,
        width: PositiveInt = 128,
        discriminator_width: PositiveInt = 64,
        discriminator_norm: Norm = "batch",
        players: Literal["paper", "plain"] = "paper",
        wrong_weight: NonNegativeFloat = 0.5,
        fake_weight: NonNegativeFloat = 0.5,
        real_target: PositiveFloat = 1.0,
        lambda_matching: NonNegativeFloat = 0.0,
        lambda_l1: NonNegativeFloat = 0.0,
        interpolation: Interpolation = "midpoint",
        style: bool = False,
        zero_biases: bool = False,
        learning_rate: PositiveFloat = 2e-4,
        betas: tuple[Decay, Decay] = (0.5, 0.999),
        halve_every: NonNegativeInt = 100,
        **options: Unpack[GameOptions],
    ) -> None:
        super().__init__(**options)
        self.save_hyperparameters()
        if players == "plain" and (size != 64 or style):
            raise UsageError(
                f"model.players plain makes images of 64 pixels, not {size}, and has no style encoder; set "
                "model.size to 64 and leave model.style out."
            )
        if players == "plain" and discriminator_norm != "batch":
            raise UsageError("model.players plain has batch norm; leave model.discriminator_norm out.")
        self.size, self.text_dim, self.latent_dim, self.text_scale = size, text_dim, latent_dim, text_scale
        self.wrong_weight, self.fake_weight, self.real_target = wrong_weight, fake_weight, real_target
        self.lambda_matching, self.lambda_l1 = lambda_matching, lambda_l1
        self.interpolation, self.zero_biases = interpolation, zero_biases
        self.learning_rate, self.betas, self.halve_every = learning_rate, betas, halve_every
        self.generator: nn.Module
        self.discriminator: nn.Module
        if players == "plain":
            from zoo.references.gan_int_cls import PlainDiscriminator, PlainGenerator

            self.generator = PlainGenerator(latent_dim, text_dim, compressed)
            self.discriminator = PlainDiscriminator(text_dim, compressed)
        else:
            encoder = StyleEncoder(latent_dim, discriminator_width, size) if style else None
            self.generator = Generator(latent_dim, text_dim, compressed, width, size, encoder)
            self.discriminator = Discriminator(
                text_dim, compressed, discriminator_width, size, discriminator_norm
            )
        initialise(self)
        self.inverted: list[nn.Module] = []  # parts of the generator that rest while S learns
        if style:
            self.inverted = [self.generator.text, self.generator.layers]
            for part in self.inverted:
                part.requires_grad_(False)

    def train(self, mode: bool = True) -> Self:
        """Set the mode; the generator that S inverts stays as it is in use."""
        super().train(mode)
        for part in self.inverted:
            part.eval()
        return self

    def setup(self, stage: str) -> None:
        """Lightning does not call :meth:`train` before a training."""
        self.train(self.training)

    def may_start_anew(self, generator: Collection[str]) -> tuple[str, ...]:
        """The style encoder, after a training without it."""
        return () if any(name.startswith("style.") for name in generator) else ("style.",)

    def on_fit_start(self) -> None:
        """As the base, and say so if there is nothing to invert."""
        super().on_fit_start()
        if self.inverted and not self.restored and self.beginning is None:
            say("The generator to invert is untrained: model.style needs model.init_from.")

    @classmethod
    def suited(cls, arguments: dict[str, Any], batch: Batch) -> dict[str, Any]:
        """Size of the data's images, width of their embeddings, and the factor that brings these to size."""
        factor = float(batch["text"].square().mean().clamp(min=1e-6).rsqrt())
        sizes = {"size": batch["image"].shape[-1], "text_dim": batch["text"].shape[1]}
        return arguments | sizes | {"text_scale": round(factor, 1)}

    # ------------------------------------------------------------------------------- forward pass and losses

    def check(self, batch: Batch) -> None:
        """Refuse data without images of this size, embeddings and mismatched images.

        Raises:
            UserError: Says what to set.
        """
        if missing := [key for key in ("image", "text", "wrong_image") if key not in batch]:
            raise UserError(
                f"The data give no {' and no '.join(missing)}; choose captioned pictures, with data.wrong "
                "image or both."
            )
        shape, width = tuple(batch["image"].shape[1:]), batch["text"].shape[1]
        if shape != (3, self.size, self.size):
            raise UserError(
                f"The images are {'x'.join(map(str, shape))}, but the model makes 3x{self.size}x{self.size}; "
                f"set data.size to {self.size}, or model.size."
            )
        if width != self.text_dim:
            raise UserError(
                f"The embeddings have {width} numbers, but model.text_dim is {self.text_dim}; set "
                f"model.text_dim to {width}."
            )

    def noise(self, count: int) -> Tensor:
        """Noise (count, latent_dim) from N(0, 1), by torch's global RNG."""
        return torch.randn(count, self.latent_dim, device=self.device).to(self.dtype)

    def make(self, z: Tensor, text: Tensor) -> Tensor:
        """Noise (B, latent_dim) and embeddings (B, text_dim) to images (B, 3, S, S) in [-1, 1]."""
        image: Tensor = self.generator(z, self.text_scale * text)
        return image

    def generate(self, batch: Batch) -> Tensor:
        """An image of each of the batch's sentences, from fresh noise."""
        text: Tensor = batch["text"]
        return self.make(self.noise(len(text)), text)

    def judge(self, image: Tensor, text: Tensor) -> tuple[Tensor, Tensor]:
        """D's logits (B, 1) of images (B, 3, S, S) with embeddings (B, text_dim); its maps of images."""
        logits, maps = self.discriminator(self.seen(image), self.text_scale * text)
        return logits, maps

    def discriminator_loss(self, batch: Batch, fake: Tensor) -> Terms:
        """``real``, ``wrong`` and ``fake``: cross-entropies, on separate batches for batch norm."""
        text: Tensor = batch["text"]
        terms = {"real": bce(self.judge(batch["image"], text)[0], self.real_target)}
        if self.wrong_weight:
            terms["wrong"] = self.wrong_weight * bce(self.judge(batch["wrong_image"], text)[0], 0.0)
        return terms | {"fake": self.fake_weight * bce(self.judge(fake, text)[0], 0.0)}

    def generator_loss(self, batch: Batch, fake: Tensor) -> Terms:
        """``adversarial``: -mean log D(G(z, t), t); ``matching`` and ``l1`` if they have a weight."""
        logits, maps = self.judge(fake, batch["text"])
        terms, real = {"adversarial": nonsaturating(logits)}, batch["image"]
        count = len(real)  # those after them have interpolated embeddings
        if self.lambda_matching:
            with torch.no_grad():
                target = self.judge(real, batch["text"][:count])[1].mean(0)
            terms["matching"] = self.lambda_matching * F.mse_loss(maps[:count].mean(0), target)
        if self.lambda_l1:
            terms["l1"] = self.lambda_l1 * F.l1_loss(fake[:count], real)
        return terms

    def style_loss(self, batch: Batch) -> Terms:
        """``style``: mean over the batch of |z - S(G(z, t))|^2, on the batch's sentences (section 4.4)."""
        text: Tensor = batch["text"]
        z = self.noise(len(text))
        with torch.no_grad():
            image = self.make(z, text)
        return {"style": (self.style_of(image) - z).square().sum(1).mean()}

    def style_of(self, image: Tensor) -> Tensor:
        """The noise (B, latent_dim) that would make images (B, 3, S, S) in [-1, 1], by the style encoder.

        Raises:
            UsageError: There is none.
        """
        if not isinstance(self.generator, Generator) or self.generator.style is None:
            raise UsageError("These weights hold no style encoder; train one with model.style true.")
        z: Tensor = self.generator.style(image)
        return z

    def interpolated(self, batch: Batch) -> Batch:
        """The batch with the embeddings that the generator learns from: (1.5 B, text_dim).

        Of a batch of odd size the middle sample has no partner.
        """
        text: Tensor = batch["text"]
        half = len(text) // 2
        first, second = text[:half], text[len(text) - half :]
        if self.interpolation == "midpoint":
            between = (first + second) / 2
        elif self.interpolation == "line":
            between = first + (second - first) * (2 * torch.rand(half, 1, device=text.device) - 1).to(text)
        else:
            return batch
        return batch | {"text": torch.cat([text, between])}

    # ------------------------------------------------------------------------- training step and optimizers

    def training_step(self, batch: Batch, batch_idx: int) -> Terms:
        """Update D on the batch, then G on new fakes, those of interpolated embeddings among them."""
        if (count := len(batch["image"])) < 2 * self.accumulate:
            raise UserError(
                f"Batch norm needs two images or more at once, and a batch of {count} in {self.accumulate} "
                "parts has less; raise data.batch_size."
            )
        parts = self.micro_batches(batch)
        if self.inverted:
            return self.update("generator", *(partial(self.style_loss, part) for part in parts))
        terms = self.discriminator_step(parts)
        return terms | self.generator_step([self.interpolated(part) for part in parts])

    def update(self, player: Player, *micro_batches: Callable[[], Terms]) -> Terms:
        """Set the biases of convolutions to 0 if asked for, then update a player."""
        if self.zero_biases:
            for layer in self.modules():
                if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d) and layer.bias is not None:
                    nn.init.zeros_(layer.bias)
        return super().update(player, *micro_batches)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Adam for both players; the rate is halved every ``halve_every`` epochs."""
        optimizers = self.adam(self.learning_rate, self.betas)
        if not self.halve_every:
            return optimizers

        def rate(epoch: int) -> float:
            return float(0.5 ** (epoch // self.halve_every))

        return optimizers, [LambdaLR(optimizer, rate) for optimizer in optimizers]

    # ---------------------------------------------------------------------------------------------------- use

    def preview(self, batch: Batch) -> dict[str, Tensor]:
        """Columns of a sample grid: the images of the sentences, and fakes."""
        return {"real": batch["image"], "fake": self.generate(batch)}

    def sample(self, text: Tensor, seed: int = 0, style: Tensor | None = None) -> Tensor:
        """An image (B, 3, S, S) in [-1, 1] of each embedding (B, text_dim).

        Args:
            text: Embeddings.
            seed: Seed of the noise.
            style: Images (B or 1, 3, S, S) in [-1, 1] whose style to take in place of the noise.
        """
        with self.in_use(seed):
            if style is None:
                return self.forward(text)
            return self.make(self.style_of(style).expand(len(text), -1), text)

    def forward(self, given: Tensor, *maps: Tensor) -> Tensor:
        """Embeddings (B, text_dim) to images, from fresh noise."""
        return self.make(self.noise(len(given)), given)
