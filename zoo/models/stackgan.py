"""StackGAN: Text to Photo-realistic Image Synthesis with Stacked Generative Adversarial Networks.

Zhang, Xu, Li, Zhang, Wang, Huang and Metaxas, ICCV 2017, https://arxiv.org/abs/1612.03242.

Conditioning augmentation (section 3.2) draws the condition c from N(mu(t), diag sigma(t)^2) of a sentence's
embedding t. Stage-I draws a small image from noise and c (3.3); Stage-II, with a condition of its own and no
noise, refines the image of the frozen Stage-I (3.4). Both discriminators are matching-aware, as that of
GAN-INT-CLS::

    L_D = -log D(x, t) - (log(1 - D(x', t)) + log(1 - D(G(z, c), t))) / 2       x': an image of another class
    L_G = -log D(G(z, c), t) + lambda_kl KL(N(mu(t), diag sigma(t)^2) || N(0, I))        (equations 3 to 6)

Layers that the paper leaves open are those of the authors' TensorFlow code
(https://github.com/hanzhanggit/StackGAN); ``variant: coco`` is their PyTorch code for COCO
(https://github.com/hanzhanggit/StackGAN-Pytorch), whose networks and losses differ.

Shapes: noise (B, latent_dim) and embeddings (B, text_dim) become images (B, 3, S, S) in [-1, 1] of Stage-I
and (B, 3, 4S, 4S) of Stage-II, S = 64; D returns logits (B, 1).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from itertools import pairwise
from math import gcd
from typing import Any, Literal, NamedTuple, Unpack

import torch
import torch.nn.functional as F
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

from zoo.adversarial import AdversarialModule, Batch, GameOptions, Terms
from zoo.bounds import Decay, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt
from zoo.errors import UserError
from zoo.guards import say
from zoo.losses import bce, nonsaturating

Size = Literal[32, 64]
Variant = Literal["paper", "coco"]
Norm = Literal["batch", "group"]


class Numbers(NamedTuple):
    """Numbers in which the two variants differ; an argument of the same name replaces one.

    Attributes:
        width: An eighth of Stage-I's channels at 4 x 4.
        discriminator_width: Channels of the discriminator's first layer.
        blocks: Residual blocks of Stage-II.
        lambda_kl: Weight of the divergence.
        halve_every: Epochs after which the learning rate is halved.
    """

    width: int
    discriminator_width: int
    blocks: int
    lambda_kl: float
    halve_every: int


NUMBERS: dict[Variant, Numbers] = {
    "paper": Numbers(128, 64, 4, 1.0, 100),
    "coco": Numbers(192, 96, 2, 2.0, 20),
}


def conv(before: int, after: int, kernel: int, stride: int = 1) -> nn.Conv2d:
    """A convolution without bias that keeps the size, or halves it."""
    return nn.Conv2d(before, after, kernel, stride, (kernel - stride + 1) // 2, bias=False)


def normalisation(norm: Norm, channels: int) -> nn.Module:
    """Batch norm, or group norm of at most 8 groups."""
    return nn.BatchNorm2d(channels) if norm == "batch" else nn.GroupNorm(gcd(8, channels), channels)


def enlarged(before: int, after: int) -> list[nn.Module]:
    """Nearest neighbours twice as large, a 3 x 3 convolution, batch norm."""
    return [nn.Upsample(scale_factor=2), conv(before, after, 3), nn.BatchNorm2d(after)]


class Residual(nn.Module):
    """Convolutions with norms, added to their input; the activation follows the sum.

    Args:
        layers: Pairs of channels and kernel of the convolutions, the last with as many channels as the input.
        activation: The activation, also between the convolutions.
        norm: Which norm follows each of them.
    """

    def __init__(self, *layers: tuple[int, int], activation: nn.Module, norm: Norm = "batch") -> None:
        super().__init__()
        self.activation = activation
        parts: list[nn.Module] = []
        for (before, _), (after, kernel) in pairwise((layers[-1], *layers)):
            parts += [conv(before, after, kernel), normalisation(norm, after), activation]
        self.layers = nn.Sequential(*parts[:-1])

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same shape."""
        y: Tensor = self.activation(x + self.layers(x))
        return y


def bottleneck(width: int, activation: nn.Module, norm: Norm = "batch") -> Residual:
    """1 x 1, 3 x 3 and 3 x 3 convolutions; the first two have a quarter of the channels."""
    inner = max(1, width // 4)
    return Residual((inner, 1), (inner, 3), (width, 3), activation=activation, norm=norm)


class Conditioning(nn.Module):
    """Conditioning augmentation: a Gaussian of conditions for each embedding (section 3.2).

    Args:
        text_dim: Width of the embedding.
        width: Width of the condition.
        variant: ``paper``: leaky ReLU before mu and log sigma; ``coco``: ReLU before mu and log sigma^2, so
            that mu is at least 0 and sigma at least 1.
    """

    def __init__(self, text_dim: int, width: int, variant: Variant) -> None:
        super().__init__()
        self.dense = nn.Linear(text_dim, 2 * width)
        self.activation = nn.LeakyReLU(0.2) if variant == "paper" else nn.ReLU()
        self.scale = 1.0 if variant == "paper" else 0.5  # log sigma of what the layer gives

    def forward(self, text: Tensor) -> tuple[Tensor, Tensor]:
        """Embeddings (B, text_dim) to mu and log sigma, each (B, width)."""
        mean, spread = self.activation(self.dense(text)).chunk(2, dim=1)
        return mean, self.scale * spread


def divergence(mean: Tensor, log_sigma: Tensor) -> Tensor:
    """KL(N(mean, sigma^2) || N(0, 1)), mean over batch and dimensions, as in both released codes."""
    return (0.5 * (mean.square() + (2 * log_sigma).exp() - 1) - log_sigma).mean()


class Stage1(nn.Module):
    """Noise and condition, a dense layer to 4 x 4, enlargements (figure 2, upper left).

    Args:
        latent_dim: Width of the noise.
        text_dim: Width of the embedding.
        condition_dim: Width of the condition.
        width: An eighth of the channels at 4 x 4; each doubling of the resolution halves them.
        size: Side of the images, S.
        variant: ``paper`` has residual blocks at 4 x 4 and 8 x 8, ``coco`` a ReLU and a layer more.
    """

    def __init__(
        self, latent_dim: int, text_dim: int, condition_dim: int, width: int, size: Size, variant: Variant
    ) -> None:
        super().__init__()
        self.conditioning = Conditioning(text_dim, condition_dim, variant)
        relu, paper = nn.ReLU(), variant == "paper"
        widths = [max(1, 8 * width >> level) for level in range(size.bit_length() - (3 if paper else 2))]
        self.dense = nn.Linear(latent_dim + condition_dim, 16 * widths[0], bias=paper)
        self.norm = nn.BatchNorm1d(16 * widths[0])
        layers: list[nn.Module] = [bottleneck(widths[0], relu) if paper else relu]
        for level, (before, after) in enumerate(pairwise(widths)):
            layers += enlarged(before, after)
            layers.append(bottleneck(after, relu) if paper and not level else relu)
        if paper:
            layers.append(nn.Upsample(scale_factor=2))
        self.layers = nn.Sequential(*layers, conv(widths[-1], 3, 3), nn.Tanh())

    def forward(self, z: Tensor, condition: Tensor) -> Tensor:
        """Noise (B, latent_dim) and conditions (B, condition_dim) to images (B, 3, S, S) in [-1, 1]."""
        x = self.norm(self.dense(torch.cat([z, condition], dim=1)))
        image: Tensor = self.layers(x.view(len(x), -1, 4, 4))
        return image


class Stage2(nn.Module):
    """An encoder of Stage-I's image, joined with a condition, residual blocks, enlargements (figure 2).

    Args:
        text_dim: Width of the embedding.
        condition_dim: Width of the condition.
        width: A quarter of the channels in the middle.
        blocks: Residual blocks.
        variant: Which conditioning augmentation, see :class:`Conditioning`.
    """

    def __init__(self, text_dim: int, condition_dim: int, width: int, blocks: int, variant: Variant) -> None:
        super().__init__()
        self.conditioning = Conditioning(text_dim, condition_dim, variant)
        relu, middle = nn.ReLU(), 4 * width
        self.encoder = nn.Sequential(
            *(conv(3, width, 3), relu),
            *(conv(width, 2 * width, 4, 2), nn.BatchNorm2d(2 * width), relu),
            *(conv(2 * width, middle, 4, 2), nn.BatchNorm2d(middle), relu),
        )
        layers: list[nn.Module] = [conv(middle + condition_dim, middle, 3), nn.BatchNorm2d(middle), relu]
        layers += [Residual((middle, 3), (middle, 3), activation=relu) for _ in range(blocks)]
        widths = [max(1, middle >> level) for level in range(5)]
        for before, after in pairwise(widths):
            layers += [*enlarged(before, after), relu]
        self.layers = nn.Sequential(*layers, conv(widths[-1], 3, 3), nn.Tanh())

    def forward(self, image: Tensor, condition: Tensor) -> Tensor:
        """Images (B, 3, S, S) and conditions (B, condition_dim) to images (B, 3, 4S, 4S) in [-1, 1]."""
        maps = self.encoder(image)  # (B, 4 width, S / 4, S / 4)
        refined: Tensor = self.layers(torch.cat([maps, tiled(condition, maps)], dim=1))
        return refined


class Generator(nn.Module):
    """Stage-I, and Stage-II on top of it, which trains while Stage-I is frozen."""

    def __init__(self, stage1: Stage1, stage2: Stage2 | None) -> None:
        super().__init__()
        self.stage1, self.stage2 = stage1, stage2
        if stage2 is not None:  # "by fixing Stage-I" (section 4.2); its batch norm keeps its mode
            stage1.requires_grad_(False)

    @property
    def conditioning(self) -> Conditioning:
        """The conditioning augmentation that is trained."""
        return (self.stage1 if self.stage2 is None else self.stage2).conditioning

    def forward(self, z: Tensor, text: Tensor, draws: Iterator[Tensor]) -> list[Tensor]:
        """Noise (B, latent_dim) and embeddings (B, text_dim) to the images of the stages, Stage-I's first.

        Args:
            z: Noise.
            text: Embeddings.
            draws: Draws (B, condition_dim) from N(0, 1) for the conditions, one per stage.
        """
        images = [self.stage1(z, drawn(self.stage1.conditioning, text, next(draws)))]
        if self.stage2 is not None:
            images.append(self.stage2(images[0], drawn(self.stage2.conditioning, text, next(draws))))
        return images


class Discriminator(nn.Module):
    """Strided convolutions to maps of 4 x 4, to which the condition is appended (figure 2, right).

    Args:
        text_dim: Width of the embedding.
        condition_dim: Width of the condition.
        width: Channels of the first layer.
        size: Side of the images.
        variant: ``paper`` compresses the embedding itself; ``coco`` takes mu of the generator's condition.
        norm: Which norm follows its convolutions.
        unconditional: Whether a second head judges images without a condition.
    """

    def __init__(
        self,
        text_dim: int,
        condition_dim: int,
        width: int,
        size: int,
        variant: Variant,
        norm: Norm,
        unconditional: bool,
    ) -> None:
        super().__init__()
        leaky, paper = nn.LeakyReLU(0.2), variant == "paper"
        self.text = nn.Sequential(nn.Linear(text_dim, condition_dim), leaky) if paper else nn.Identity()
        halvings = size.bit_length() - 3  # to 4 x 4
        widths = [3, *(width << level for level in range(halvings))]
        while widths[-1] > 8 * width:  # Stage-II
            widths.append(widths[-1] // 2)
        narrowed = len(widths) - 1 - halvings
        layers: list[nn.Module] = []
        for number, (before, after) in enumerate(pairwise(widths)):
            strided = number < halvings
            layers.append(conv(before, after, 4 if strided else 1 if paper else 3, 2 if strided else 1))
            layers += [normalisation(norm, after), leaky] if number else [leaky]
        if paper:  # the released code has no activation after the last layer, in Stage-I after the last two
            layers.pop()
            if not narrowed:
                layers.pop(-3)
            layers.append(bottleneck(widths[-1], leaky, norm))
        self.layers = nn.Sequential(*layers)
        last = widths[-1]
        self.joined = nn.Sequential(
            *(conv(last + condition_dim, last, 1 if paper else 3), normalisation(norm, last), leaky),
            nn.Conv2d(last, 1, 4, bias=not paper),
        )
        self.alone = nn.Conv2d(last, 1, 4) if unconditional else None

    def matching(self, maps: Tensor, condition: Tensor) -> Tensor:
        """Logits (B, 1) of maps of images with what :attr:`text` gives of their condition."""
        logits: Tensor = self.joined(torch.cat([maps, tiled(self.text(condition), maps)], dim=1))
        return logits.flatten(1)

    def forward(self, image: Tensor) -> Tensor:
        """Images (B, 3, S, S) to maps (B, 8 width, 4, 4)."""
        maps: Tensor = self.layers(image)
        return maps


def tiled(condition: Tensor, maps: Tensor) -> Tensor:
    """A condition (B, C) at each place of maps, (B, C, H, W)."""
    return condition[:, :, None, None].expand(-1, -1, *maps.shape[2:])


def drawn(conditioning: Conditioning, text: Tensor, draws: Tensor) -> Tensor:
    """Conditions (B, condition_dim) of embeddings (B, text_dim), given draws from N(0, 1) of that shape."""
    mean, log_sigma = conditioning(text)
    condition: Tensor = mean + log_sigma.exp() * draws
    return condition


def initialise(network: nn.Module) -> None:
    """Weights from N(0, .02) with biases of 0, gains of batch norm from N(1, .02)."""
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.normal_(layer.weight, 0.0, 0.02)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
        elif isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
            nn.init.normal_(layer.weight, 1.0, 0.02)


class StackGAN(AdversarialModule):
    """Generate images like ``batch["image"]`` from the embeddings ``batch["text"]`` of their sentences.

    Args:
        stage: 1 trains Stage-I; 2 trains Stage-II on a frozen Stage-I, whose weights ``init_from`` gives.
        variant: ``paper``; or ``coco``, the networks and losses of the authors' PyTorch code: the condition
            is rectified, the discriminator takes its mean in place of the embedding, mismatches are the
            batch's images with the sentence of the next one, Stage-I has no residual blocks, and Stage-II's
            discriminator also judges images without a sentence.
        size: Side of Stage-I's images, S; Stage-II's are four times as large.
        text_dim: Width of the embeddings: 1024 of the char-CNN-RNN.
        latent_dim: Width of the noise, drawn from N(0, 1).
        condition_dim: Width of the condition.
        text_scale: Factor of the embeddings. Those of length 1, as a bag of words and sentence transformers
            give, are small beside the noise; the square root of ``text_dim`` makes them as large.
        width: An eighth of Stage-I's channels at 4 x 4: 128, and 192 of ``coco``.
        discriminator_width: Channels of the discriminator's first layer: 64, and 96 of ``coco``.
        discriminator_norm: ``batch``; or ``group``, norm of groups of an image's own channels. The paper's
            batches of one kind (right, wrong, fake) let the discriminator tell the kinds by the statistics of
            a batch, so that it rejects mismatches without reading the sentence.
        blocks: Residual blocks of Stage-II: 4, and 2 of ``coco``.
        lambda_kl: Weight of the divergence: 1, and 2 of ``coco`` (and of both released codes).
        learning_rate: Adam's learning rate, for both players.
        betas: Adam's betas.
        halve_every: Epochs after which the learning rate is halved, again and again: 100, and 20 of ``coco``;
            0 keeps it.
        options: Averages, augmentation, clipping; see :class:`zoo.adversarial.GameOptions`.

    Examples:
        >>> model = StackGAN(stage=2, text_dim=7, width=1, discriminator_width=1, blocks=1)
        >>> model.sample(torch.zeros(2, 7), seed=1).shape
        torch.Size([2, 3, 256, 256])
    """

    takes = "sentence"
    gives = "picture"
    generator: Generator
    discriminator: Discriminator

    def __init__(
        self,
        stage: Literal[1, 2] = 1,
        variant: Variant = "paper",
        size: Size = 64,
        text_dim: PositiveInt = 1024,
        latent_dim: PositiveInt = 100,
        condition_dim: PositiveInt = 128,
        text_scale: PositiveFloat = 1.0,
        width: PositiveInt | None = None,
        discriminator_width: PositiveInt | None = None,
        discriminator_norm: Norm = "batch",
        blocks: PositiveInt | None = None,
        lambda_kl: NonNegativeFloat | None = None,
        learning_rate: PositiveFloat = 2e-4,
        betas: tuple[Decay, Decay] = (0.5, 0.999),
        halve_every: NonNegativeInt | None = None,
        **options: Unpack[GameOptions],
    ) -> None:
        super().__init__(**options)
        self.save_hyperparameters()
        given: dict[str, Any] = {
            "width": width,
            "discriminator_width": discriminator_width,
            "blocks": blocks,
            "lambda_kl": lambda_kl,
            "halve_every": halve_every,
        }
        numbers = NUMBERS[variant]._replace(**{key: n for key, n in given.items() if n is not None})
        self.variant, self.text_dim, self.text_scale = variant, text_dim, text_scale
        self.latent_dim, self.condition_dim = latent_dim, condition_dim
        self.size = size if stage == 1 else 4 * size
        self.lambda_kl, self.halve_every = numbers.lambda_kl, numbers.halve_every
        self.learning_rate, self.betas = learning_rate, betas
        stage1 = Stage1(latent_dim, text_dim, condition_dim, numbers.width, size, variant)
        stage2 = Stage2(text_dim, condition_dim, numbers.width, numbers.blocks, variant)
        self.generator = Generator(stage1, stage2 if stage == 2 else None)
        self.discriminator = Discriminator(
            *(text_dim, condition_dim, numbers.discriminator_width, self.size, variant),
            norm=discriminator_norm,
            unconditional=variant == "coco" and stage == 2,
        )
        initialise(self)

    @classmethod
    def suited(cls, arguments: dict[str, Any], batch: Batch) -> dict[str, Any]:
        """Size of the data's images, width of their embeddings, and the factor that brings these to size."""
        side = batch["image"].shape[-1] // (4 if arguments.get("stage") == 2 else 1)
        factor = float(batch["text"].square().mean().clamp(min=1e-6).rsqrt())
        return arguments | {"size": side, "text_dim": batch["text"].shape[1], "text_scale": round(factor, 1)}

    # ---------------------------------------------------------------------------------- the start, and checks

    def may_start_anew(self, generator: Collection[str]) -> tuple[str, ...]:
        """Stage-II, after Stage-I."""
        return () if any(name.startswith("stage2.") for name in generator) else ("stage2.",)

    def on_fit_start(self) -> None:
        """As the base, and say so if the frozen Stage-I is untrained."""
        super().on_fit_start()
        if self.generator.stage2 is not None and not self.restored and self.beginning is None:
            say(
                "Warning: Stage-II refines an untrained Stage-I, so its pictures will show nothing. Give "
                "the run or the weights of Stage-I as model.init_from."
            )

    def check(self, batch: Batch) -> None:
        """Refuse data without images of this size, embeddings and, for ``paper``, mismatched images.

        Raises:
            UserError: Says what to set.
        """
        wanted = ("image", "text", *(("wrong_image",) if self.variant == "paper" else ()))
        if missing := [key for key in wanted if key not in batch]:
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

    # ------------------------------------------------------------------------------- forward pass and losses

    def noise(self, count: int, width: int) -> Tensor:
        """Draws (count, width) from N(0, 1), by torch's global RNG."""
        return torch.randn(count, width, device=self.device).to(self.dtype)

    def images(self, text: Tensor) -> list[Tensor]:
        """Images of each stage, Stage-I's first, of embeddings (B, text_dim), from fresh noise."""
        z = self.noise(len(text), self.latent_dim)
        draws = (self.noise(len(text), self.condition_dim) for _ in range(2))
        return self.generator(z, self.text_scale * text, draws)  # type: ignore[no-any-return]

    def generate(self, batch: Batch) -> Tensor:
        """An image of each of the batch's sentences, from fresh noise."""
        return self.images(batch["text"])[-1]

    def condition(self, text: Tensor) -> Tensor:
        """What the discriminator sees of embeddings: them, or the mean of their conditions, detached."""
        text = self.text_scale * text
        if self.variant == "paper":
            return text
        with torch.no_grad():
            mean: Tensor = self.generator.conditioning(text)[0]
        return mean

    def discriminator_loss(self, batch: Batch, fake: Tensor) -> Terms:
        """Cross-entropies of matching, mismatched and generated pairs (equations 3 and 5).

        Of ``coco``'s Stage-II, those without a condition as well: the mean of real, a third of the others.
        """
        judge, condition = self.discriminator, self.condition(batch["text"])
        real, made = judge(self.seen(batch["image"])), judge(self.seen(fake))
        matched = bce(judge.matching(real, condition), 1.0)
        if self.variant == "paper":
            wrong = bce(judge.matching(judge(self.seen(batch["wrong_image"])), condition), 0.0)
        else:
            wrong = bce(judge.matching(real[:-1], condition[1:]), 0.0)
        rejected = bce(judge.matching(made, condition), 0.0)
        if judge.alone is None:
            return {"real": matched, "wrong": 0.5 * wrong, "fake": 0.5 * rejected}
        return {
            "real": 0.5 * matched,
            "wrong": wrong / 3,
            "fake": rejected / 3,
            "real_alone": 0.5 * bce(judge.alone(real), 1.0),
            "fake_alone": bce(judge.alone(made), 0.0) / 3,
        }

    def generator_loss(self, batch: Batch, fake: Tensor) -> Terms:
        """``adversarial``, of ``coco``'s Stage-II also ``alone``, and ``kl`` (equations 4 and 6)."""
        maps, text = self.discriminator(self.seen(fake)), self.text_scale * batch["text"]
        logits = self.discriminator.matching(maps, self.condition(batch["text"]))
        terms = {"adversarial": nonsaturating(logits)}
        if self.discriminator.alone is not None:
            terms["alone"] = nonsaturating(self.discriminator.alone(maps))
        if self.lambda_kl:
            terms["kl"] = self.lambda_kl * divergence(*self.generator.conditioning(text))
        return terms

    # -------------------------------------------------------------------------- training step and optimizers

    def training_step(self, batch: Batch, batch_idx: int) -> Terms:
        """Update D, then G, on one pass of the generator."""
        if (count := len(batch["image"])) < 2 * self.accumulate:
            raise UserError(
                f"Batch norm needs two images or more at once, and a batch of {count} in {self.accumulate} "
                "parts has less; raise data.batch_size."
            )
        return super().training_step(batch, batch_idx)

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
        """Columns of a sample grid: the images of the sentences, fakes, and the Stage-I that they refine."""
        *small, fake = self.images(batch["text"])
        columns = {"real": batch["image"], "fake": fake}
        if small:
            columns["stage-I"] = F.interpolate(small[0], fake.shape[2:])
        return columns

    def sample(self, text: Tensor, seed: int = 0) -> Tensor:
        """An image (B, 3, S, S) in [-1, 1] of each embedding (B, text_dim), from the noise of ``seed``."""
        with self.in_use(seed):
            return self.forward(text)

    def forward(self, given: Tensor, *maps: Tensor) -> Tensor:
        """Embeddings (B, text_dim) to images, from fresh noise."""
        return self.images(given)[-1]
