"""Progressive growing of GANs (Karras et al. 2018, https://arxiv.org/abs/1710.10196).

Training starts at 4 x 4 pixels. New layers double the resolution again and again, and each time they are
faded in: their share ``alpha`` of the output grows linearly from 0 to 1 (section 2, figure 2). The loss is
that of WGAN-GP (Gulrajani et al. 2017) with a fourth term against drift (appendix A.1)::

    L_D = E[D(G(z))] - E[D(x)] + lambda E[(|grad D(y)| / gamma - 1)^2] + epsilon E[D(x)^2]
    L_G = -E[D(G(z))]

where y is a random point between a real and a generated picture. The players have equalised learning rates
(4.1), pixelwise normalisation in G (4.2) and the standard deviation of the minibatch in D (3).

Shapes: noise (B, latent_dim) becomes pictures (B, channels, S, S), S = 4 * 2**level; D returns scores (B, 1).

One epoch is one phase of the schedule: stabilise at 4, fade to 8, stabilise at 8, and so on. Resolution and
minibatch are constant within it, and a run is resumed exactly at any step of it.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any, Literal, NamedTuple, TypeVar, Unpack

import torch
import torch.nn.functional as F
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn

from zoo.adversarial import PLAYERS, AdversarialModule, Batch, GameOptions, Terms
from zoo.bounds import Decay, NonNegativeFloat, PositiveFloat, PositiveInt
from zoo.errors import UsageError, UserError
from zoo.guards import say
from zoo.losses import least_squares, mean_score

LEAST = 4  # pixels of the first resolution
EPSILON = 1e-8
MINIBATCHES = {  # from 4 px on: appendix A.1; the released code's preset for one GPU
    "paper": (16, 16, 16, 16, 16, 16, 14, 6, 3),
    "code": (128, 128, 128, 64, 32, 16, 8, 4, 4),
}
Number = TypeVar("Number", int, float)
PIXELS_AT_ONCE = 2**22  # of the pictures that `sample` computes together


class EqualConv(nn.Conv2d):
    """Convolution with an equalised learning rate (section 4.1); the size is kept.

    Weights are drawn from N(0, 1) and multiplied by He's constant whenever they are used. Adam normalises
    gradients, so every weight then learns at the same speed.

    Args:
        inputs: Channels of the input.
        outputs: Channels of the output.
        kernel: Side of the kernel, odd.
        gain: The constant is ``gain`` / sqrt(fan-in).
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, gain: float = math.sqrt(2)) -> None:
        super().__init__(inputs, outputs, kernel, padding=kernel // 2)
        self.scale = gain / math.sqrt(inputs * kernel**2)

    def reset_parameters(self) -> None:
        """Draw the weights from N(0, 1); set the biases to 0."""
        equalise(self)

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) to (B, outputs, H, W)."""
        return F.conv2d(x, self.weight * self.scale, self.bias, padding=self.padding)


class EqualLinear(nn.Linear):
    """Dense layer with an equalised learning rate, see :class:`EqualConv`.

    Args:
        inputs: Width of the input.
        outputs: Width of the output.
        gain: The constant is ``gain`` / sqrt(inputs).
        bias: Whether to add a bias.
    """

    def __init__(self, inputs: int, outputs: int, gain: float = math.sqrt(2), bias: bool = True) -> None:
        super().__init__(inputs, outputs, bias)
        self.scale = gain / math.sqrt(inputs)

    def reset_parameters(self) -> None:
        """Draw the weights from N(0, 1); set the biases to 0."""
        equalise(self)

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs) to (B, outputs)."""
        return F.linear(x, self.weight * self.scale, self.bias)


def equalise(layer: nn.Conv2d | nn.Linear) -> None:
    """Draw a layer's weights from N(0, 1); set its biases to 0."""
    nn.init.normal_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


def activate(x: Tensor) -> Tensor:
    """Leaky ReLU of slope 0.2, after every layer but toRGB and D's last."""
    return F.leaky_relu(x, 0.2)


def pixel_norm(x: Tensor) -> Tensor:
    """Divide the features (B, C, ...) of each pixel by the root of their mean square (section 4.2)."""
    square = x.square().mean(dim=1, keepdim=True, dtype=torch.promote_types(x.dtype, torch.float32))
    return x * (square + EPSILON).rsqrt().to(x.dtype)


def minibatch_deviation(x: Tensor, group: int) -> Tensor:
    """Append a map with the mean standard deviation of the features over a group of samples (section 3).

    Groups are consecutive samples, at most ``group`` each and as equal in number as possible, so that any
    number of samples will do: 14 make groups of 4, 4, 3 and 3. A sample alone has a deviation of 1e-4, the
    root of epsilon. Groups lie within what one process judges at once; micro-batches of a multiple of
    ``group`` samples do not change them.

    Args:
        x: Features (B, C, H, W).
        group: Largest number of samples in a group.

    Returns:
        Features (B, C + 1, H, W).
    """
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    groups = -(-len(x) // group)
    size, larger = divmod(len(x), groups)
    means = []
    for part, count, each in (
        (wide[: larger * (size + 1)], larger, size + 1),
        (wide[larger * (size + 1) :], groups - larger, size),
    ):
        part = part.reshape(count, each, *x.shape[1:])
        variance = (part - part.mean(1, keepdim=True)).square().mean(1)  # (count, C, H, W)
        means.append((variance + EPSILON).sqrt().mean((1, 2, 3)).repeat_interleave(each))
    maps = torch.cat(means).to(x.dtype)[:, None, None, None].expand(-1, 1, *x.shape[2:])
    return torch.cat([x, maps], dim=1)


def enlarge(x: Tensor) -> Tensor:
    """Double the resolution by repeating pixels."""
    return F.interpolate(x, scale_factor=2.0, mode="nearest")


def blend(old: Tensor, new: Tensor, alpha: Tensor) -> Tensor:
    """``old`` at an ``alpha`` of 0, ``new`` at 1."""
    return old + alpha * (new - old)


class GeneratorBlock(nn.Module):
    """Double the resolution, then two 3 x 3 convolutions."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.first = EqualConv(inputs, outputs, 3)
        self.second = EqualConv(outputs, outputs, 3)

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) to (B, outputs, 2 H, 2 W)."""
        x = pixel_norm(activate(self.first(enlarge(x))))
        return pixel_norm(activate(self.second(x)))


class Generator(nn.Module):
    """Table 2, left. ``level`` and ``alpha`` say how far it has grown; they are part of its state.

    Args:
        latent_dim: Width of the noise.
        widths: Channels at 4, 8, 16, ... pixels.
        channels: Channels of the pictures.
        first_bias: Whether the first layer has a bias per ``channel`` or per channel and ``position``.
    """

    def __init__(
        self, latent_dim: int, widths: list[int], channels: int, first_bias: Literal["channel", "position"]
    ) -> None:
        super().__init__()
        self.level, self.alpha = len(widths) - 1, 1.0
        # a 4 x 4 kernel on one pixel: its fan-in is 16 times the width of the noise
        self.dense = EqualLinear(latent_dim, 16 * widths[0], math.sqrt(2) / 4, bias=False)
        side = LEAST if first_bias == "position" else 1
        self.dense_bias = nn.Parameter(torch.zeros(widths[0], side, side))
        self.conv = EqualConv(widths[0], widths[0], 3)
        self.blocks = nn.ModuleList(GeneratorBlock(*pair) for pair in pairwise(widths))
        self.to_rgb = nn.ModuleList(EqualConv(width, channels, 1, gain=1.0) for width in widths)

    @property
    def side(self) -> int:
        """Side of its pictures in pixels."""
        return LEAST << self.level

    def get_extra_state(self) -> Tensor:
        """How far it has grown: level and alpha."""
        return torch.tensor([self.level, self.alpha], dtype=torch.float64)

    def set_extra_state(self, state: Tensor) -> None:
        """Restore level and alpha.

        Raises:
            UserError: They are none that this network can have.
        """
        level, alpha = (float(value) for value in state)
        if level not in range(len(self.to_rgb)) or not 0 < alpha <= 1 or (alpha < 1 and level == 0):
            raise UserError(
                f"The weights have grown to level {level:g} with alpha {alpha:g}, but levels are 0 to "
                f"{len(self.to_rgb) - 1} and alpha is at most 1; they are damaged."
            )
        self.level, self.alpha = int(level), alpha

    def forward(self, z: Tensor, level: int, alpha: Tensor | None = None) -> Tensor:
        """Noise (B, latent_dim) to pictures (B, channels, S, S), which are not bounded.

        Args:
            z: Noise from N(0, 1).
            level: S is 4 * 2**level.
            alpha: Share of the layers of this level while they are faded in; None: they alone.
        """
        x = self.dense(pixel_norm(z)).unflatten(1, (-1, LEAST, LEAST)) + self.dense_bias
        x = pixel_norm(activate(self.conv(pixel_norm(activate(x)))))
        before = x
        for block in self.blocks[:level]:
            before, x = x, block(x)
        image: Tensor = self.to_rgb[level](x)
        if alpha is None:
            return image
        return blend(enlarge(self.to_rgb[level - 1](before)), image, alpha)


class DiscriminatorBlock(nn.Module):
    """Two 3 x 3 convolutions, then halve the resolution."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.first = EqualConv(inputs, inputs, 3)
        self.second = EqualConv(inputs, outputs, 3)

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) to (B, outputs, H / 2, W / 2)."""
        return F.avg_pool2d(activate(self.second(activate(self.first(x)))), 2)


class Discriminator(nn.Module):
    """Table 2, right; the mirror image of the generator.

    Args:
        widths: Channels at 4, 8, 16, ... pixels.
        channels: Channels of the pictures.
        group: Samples over which a standard deviation is computed, see :func:`minibatch_deviation`.
    """

    def __init__(self, widths: list[int], channels: int, group: int) -> None:
        super().__init__()
        self.group = group
        self.from_rgb = nn.ModuleList(EqualConv(channels, width, 1) for width in widths)
        self.blocks = nn.ModuleList(DiscriminatorBlock(high, low) for low, high in pairwise(widths))
        self.conv = EqualConv(widths[0] + 1, widths[0], 3)
        self.dense = EqualLinear(16 * widths[0], widths[0])
        self.last = EqualLinear(widths[0], 1, gain=1.0)

    def forward(self, x: Tensor, alpha: Tensor | None = None) -> Tensor:
        """Pictures (B, channels, S, S), S = 4, 8, ... to scores (B, 1).

        Args:
            x: Pictures.
            alpha: Share of the layers of this resolution while they are faded in; None: they alone.
        """
        level = int(x.shape[-1]).bit_length() - 3
        h = activate(self.from_rgb[level](x))
        for at in range(level - 1, -1, -1):
            h = self.blocks[at](h)
            if alpha is not None and at == level - 1:
                h = blend(activate(self.from_rgb[at](F.avg_pool2d(x, 2))), h, alpha)
        h = activate(self.conv(minibatch_deviation(h, self.group)))
        scores: Tensor = self.last(activate(self.dense(h.flatten(1))))
        return scores


class Phase(NamedTuple):
    """A phase of the schedule.

    Attributes:
        level: The resolution is 4 * 2**level.
        fades: Whether this resolution's layers are faded in.
        minibatch: Samples per batch and process.
        images: Real images shown, over all processes.
    """

    level: int
    fades: bool
    minibatch: int
    images: int

    @property
    def side(self) -> int:
        """Side of the pictures in pixels."""
        return LEAST << self.level

    def batches(self, ranks: int) -> int:
        """Batches on each of so many processes."""
        return -(-self.images // (self.minibatch * ranks))


class ProGAN(AdversarialModule):
    """Generate pictures like ``batch["image"]`` from noise, at resolutions that grow in training.

    An epoch is a phase, so ``trainer.max_epochs`` is 2 log2(size) - 3: 17 for 1024 px, 9 for 64 px. The data
    module must be one of :mod:`zoo.data`: it gives the pictures of each phase. ``data.batch_size`` counts in
    evaluation only.

    Args:
        size: Side of the pictures in pixels, a power of two.
        start_size: Resolution that the schedule begins with; ``size`` trains without growing, as in table 1
            (a) and figure 4, or begins with weights that have grown already (``init_from``).
        channels: Channels of the pictures.
        latent_dim: Width of the noise.
        base: Channels at S pixels are 2 ``base`` / S, at most ``most``: 16 at 1024 pixels.
        most: Largest number of channels.
        first_bias: Whether the generator's first layer has a bias per channel, or per channel and position as
            in pytorch_GAN_zoo.
        group: Samples over which D computes a standard deviation. The paper says "over the minibatch".
        fade_images: Real images shown while the layers of a resolution are faded in; a list gives a number
            per resolution from 8 px on, whose last one holds for the rest.
        stable_images: Real images shown with all layers of a resolution; a list begins at 4 px.
        minibatches: Samples per batch and process at each resolution: ``paper``, 16 up to 128 px, then 14, 6
            and 3 (appendix A.1); ``code``, the released code's preset for one GPU, 128 up to 16 px, then 64,
            32, 16, 8, 4 and 4; or a list from 4 px on, whose last number holds for the rest.
        lambda_gp: Weight lambda of the gradient penalty.
        target_norm: Norm gamma of the gradient that the penalty asks for; the paper takes 750 for CIFAR-10.
        lambda_drift: Weight epsilon of the squared scores of real pictures.
        lr: Learning rate of both players; a list gives a rate per resolution from 4 px on, whose last one
            holds for the rest.
        betas: Adam's exponential decay rates.
        options: Clipping, accumulation, compilation; see :class:`zoo.adversarial.GameOptions`. Here ``ema``
            is 0.999 by default (appendix A.1).

    Examples:
        >>> ProGAN(size=16, base=64, most=8, latent_dim=8).sample(4, seed=1).shape
        torch.Size([4, 3, 16, 16])
    """

    takes = "noise"
    gives = "picture"
    generator: Generator

    def __init__(
        self,
        size: PositiveInt = 1024,
        start_size: PositiveInt = 4,
        channels: PositiveInt = 3,
        latent_dim: PositiveInt = 512,
        base: PositiveInt = 8192,
        most: PositiveInt = 512,
        first_bias: Literal["channel", "position"] = "channel",
        group: PositiveInt = 4,  # differs: the whole minibatch; groups of 4 are the released code's
        fade_images: PositiveInt | tuple[PositiveInt, ...] = 800_000,
        stable_images: PositiveInt | tuple[PositiveInt, ...] = 800_000,
        minibatches: Literal["paper", "code"] | tuple[PositiveInt, ...] = "paper",
        lambda_gp: NonNegativeFloat = 10.0,
        target_norm: PositiveFloat = 1.0,
        lambda_drift: NonNegativeFloat = 0.001,
        lr: PositiveFloat | tuple[PositiveFloat, ...] = 0.001,
        betas: tuple[Decay, Decay] = (0.0, 0.99),
        **options: Unpack[GameOptions],
    ) -> None:
        options.setdefault("ema", 0.999)
        super().__init__(**options)
        self.save_hyperparameters()
        for name, side in (("size", size), ("start_size", start_size)):
            if side < LEAST or side & (side - 1):
                raise UsageError(f"model.{name} is {side}; give a power of two of at least {LEAST}.")
        if start_size > size:
            raise UsageError(f"model.start_size {start_size} is more than model.size {size}; lower it.")
        self.size, self.channels, self.latent_dim = size, channels, latent_dim
        self.lambda_gp, self.target_norm, self.lambda_drift = lambda_gp, target_norm, lambda_drift
        levels = level_of(size) + 1
        self.rates, self.betas = each("lr", lr, levels), (betas[0], betas[1])
        given = MINIBATCHES[minibatches] if isinstance(minibatches, str) else minibatches
        self.phases = schedule(
            level_of(start_size),
            each("fade_images", fade_images, levels - 1),
            each("stable_images", stable_images, levels),
            each("minibatches", given, levels),
        )
        for phase in self.phases:
            if phase.minibatch % self.accumulate:
                raise UsageError(
                    f"The minibatch of {phase.minibatch} at {phase.side} px does not divide into "
                    f"model.accumulate {self.accumulate} equal parts; change it or model.minibatches."
                )
        widths = [max(1, min(2 * base // (LEAST << level), most)) for level in range(levels)]
        self.generator = Generator(latent_dim, widths, channels, first_bias)
        self.discriminator = Discriminator(widths, channels, group)

    # ------------------------------------------------------------------------------- forward pass and losses

    def noise(self, count: int) -> Tensor:
        """Noise (count, latent_dim) from N(0, 1), by torch's global RNG."""
        return torch.randn(count, self.latent_dim, device=self.device).to(self.dtype)

    def fading(self) -> Tensor | None:
        """Share of the newest layers, as one number on the device; None if nothing is faded in."""
        alpha, like = self.generator.alpha, self.generator.dense_bias
        return None if alpha == 1 else torch.full((), alpha, dtype=like.dtype, device=like.device)

    def make(self, z: Tensor) -> Tensor:
        """Noise (B, latent_dim) to unbounded pictures (B, channels, S, S) of the current resolution."""
        made: Tensor = self.generator(z, self.generator.level, self.fading())
        return made

    def generate(self, batch: Batch) -> Tensor:
        """As many fakes as ``batch`` has pictures, from fresh noise, at the current resolution.

        In training they are unbounded, as D judges them; else they are clamped to [-1, 1].
        """
        fake = self.make(self.noise(len(batch["image"])))
        return fake if self.training else fake.clamp(-1, 1)

    def real(self, batch: Batch) -> Tensor:
        """The batch's pictures at the current resolution; in a fade, blended with those of half of it.

        Raises:
            UserError: The batch has none, or of other channels or sides.
        """
        self.require_pictures(batch)
        x: Tensor = batch["image"]
        if (factor := x.shape[-1] // self.generator.side) > 1:  # a batch of evaluation is full size
            x = F.avg_pool2d(x, factor)
        alpha = self.fading()
        return x if alpha is None else blend(enlarge(F.avg_pool2d(x, 2)), x, alpha)

    def judge(self, seen: Tensor) -> Tensor:
        """Scores (B, 1) of pictures that have passed through ``seen``."""
        scores: Tensor = self.discriminator(seen, self.fading())
        return scores

    def discriminator_loss(self, batch: Batch, fake: Tensor) -> Terms:
        """``critic``: mean D(fake) - mean D(real); ``penalty`` on the gradient's norm; ``drift``."""
        real, fake = self.seen(self.real(batch)), self.seen(fake)
        of_real, of_fake = self.judge(real), self.judge(fake)
        self._scores = (of_real.detach(), of_fake.detach())
        return {
            "critic": mean_score(of_fake) - mean_score(of_real),
            "penalty": self.lambda_gp * self.penalty(real, fake),
            "drift": self.lambda_drift * least_squares(of_real, 0.0),
        }

    def generator_loss(self, batch: Batch, fake: Tensor) -> Terms:
        """``adversarial``: -mean D(fake)."""
        return {"adversarial": -mean_score(self.judge(self.seen(fake)))}

    def penalty(self, real: Tensor, fake: Tensor) -> Tensor:
        """Mean of (|grad D(y)| / gamma - 1)^2 over points y between real and fake pictures as D sees them.

        It is computed in float32 under mixed precision: the norm is that of a gradient, which has a gradient
        itself. With ``diff_augment`` the pictures have been changed already, and y is not changed again.
        """
        with torch.autocast(real.device.type, enabled=False), torch.enable_grad():
            wide = torch.promote_types(fake.dtype, torch.float32)
            share = torch.rand(len(real), 1, 1, 1, device=real.device).to(wide)
            between = torch.lerp(fake.to(wide), real.to(wide), share).requires_grad_()
            # not compiled: a compiled network has no second derivative
            scores = self.discriminator.forward(between, self.fading())
            (gradient,) = torch.autograd.grad(scores.sum(), between, create_graph=True)
            norms: Tensor = torch.linalg.vector_norm(gradient, dim=(1, 2, 3))
            return (norms / self.target_norm - 1).square().mean()

    # --------------------------------------------------------------------------------------- a training step

    def training_step(self, batch: Batch, batch_idx: int) -> Terms:
        """Update D, then G, on the same fakes."""
        terms = super().training_step(batch, batch_idx)
        if self.is_logged_step:
            real, fake = (scores.mean() for scores in self._scores)
            grown = {"train/size": float(self.generator.side), "train/alpha": self.generator.alpha}
            self.log_dict({"train/d_of_real": real, "train/d_of_fake": fake, **grown})
        return terms

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Adam for both players; layers that a phase leaves out have no gradient and keep their state."""
        return self.adam(self.rates[self.phases[0].level], self.betas)

    # ---------------------------------------------------------------------------------------------- schedule

    def phase(self, epoch: int) -> Phase:
        """The phase of an epoch; the last one is repeated in longer runs."""
        return self.phases[min(epoch, len(self.phases) - 1)]

    def grow(self, level: int, alpha: float) -> None:
        """Set the resolution and the share of its layers."""
        for network in (self.generator, self.generator_ema):
            if isinstance(network, Generator):
                network.level, network.alpha = level, alpha

    def plan_batches(self, data: Any, ranks: int = 1, epoch: int = 0) -> None:
        """Have the data module give the batches of each phase; grow to the middle of an epoch's phase."""

        def batches(epoch: int) -> tuple[int, int, int]:
            phase = self.phase(epoch)
            return phase.side, phase.minibatch, phase.batches(ranks)

        data.phases = batches
        phase = self.phase(epoch)
        self.grow(phase.level, 0.5 if phase.fades else 1.0)

    def setup(self, stage: str) -> None:
        """Plan the batches of a training."""
        data = self.trainer.datamodule  # type: ignore[attr-defined]
        if stage == "fit" and data is not None:
            self.plan_batches(data, self.trainer.world_size)
            self.trainer.reload_dataloaders_every_n_epochs = 1  # type: ignore[attr-defined]

    def on_train_start(self) -> None:
        """Say if the run is longer or shorter than the schedule."""
        super().on_train_start()
        epochs, steps = self.trainer.max_epochs or -1, self.trainer.max_steps
        number, ranks = len(self.phases), self.trainer.world_size
        total = sum(phase.batches(ranks) for phase in self.phases)
        planned = self.trainer.datamodule is not None  # type: ignore[attr-defined]
        cut = self.trainer.limit_train_batches not in (1.0, None)
        if planned and (cut or epochs not in (-1, number) or -1 < steps < total):
            say(
                f"The schedule up to {self.size} px has {number} phases of {total:,} steps in all, but the "
                f"run ends elsewhere: set trainer.max_epochs to {number} and leave out trainer.max_steps and "
                "trainer.limit_train_batches, or change model.fade_images and model.stable_images."
            )

    def on_train_epoch_start(self) -> None:
        """Compile anew for each resolution: with those before it, sizes would be compiled as variables."""
        if self.compile_players:
            torch.compiler.reset()

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Grow to what this step's images make it.

        Raises:
            UserError: The batch is not one of this phase.
        """
        super().on_train_batch_start(batch, batch_idx)
        phase, ranks = self.phase(self.current_epoch), self.trainer.world_size
        self.require_pictures(batch)
        given = batch["image"]
        if (len(given), given.shape[-1]) != (phase.minibatch, phase.side):
            raise UserError(
                f"A batch holds {len(given)} pictures of {given.shape[-1]} px, but this phase needs "
                f"{phase.minibatch} of {phase.side} px; give trainer.fit a data module of zoo.data."
            )
        shown = (batch_idx + 1) * phase.minibatch * ranks  # with this batch, so that new layers learn at once
        self.grow(phase.level, min(1.0, shown / phase.images) if phase.fades else 1.0)
        at = self.phases.index(phase)
        earlier = self.phases[at - 1].batches(ranks) if at and not phase.fades else 0
        self._age = earlier + (self.current_epoch - at) * phase.batches(ranks) + batch_idx
        for player in PLAYERS:
            for group in self.optimizer_of(player).param_groups:
                group["lr"] = self.rates[phase.level]

    @property
    def average_age(self) -> int:
        """Steps since the newest layers came: a slow average would keep their initial weights for long."""
        return self._age

    @classmethod
    def suited(cls, arguments: dict[str, Any], batch: Batch) -> dict[str, Any]:
        """Size and channels of the data; of lists as many numbers as there are resolutions then."""
        channels, _, side = batch["image"].shape[1:]
        counts = dict.fromkeys(("fade_images", "stable_images", "minibatches", "lr"), level_of(side) + 1)
        counts["fade_images"] -= 1
        lists = {
            name: arguments[name][: max(1, count)]
            for name, count in counts.items()
            if isinstance(arguments.get(name), list | tuple)
        }
        made = arguments | lists | {"size": side, "channels": channels}
        return made | {"start_size": min(arguments.get("start_size", LEAST), side)}

    def check(self, batch: Batch) -> None:
        """Refuse pictures of other channels, or of another side than the last phase needs."""
        self.require_pictures(batch)
        height, side = batch["image"].shape[2:]
        if side != self.size:
            raise UserError(
                f"The data are of {side}x{height} pixels; set data.size to model.size, which is {self.size}."
            )

    def require_pictures(self, batch: Batch) -> None:
        """Refuse pictures of other channels, or of sides that the schedule has not.

        Raises:
            UserError: Says what to set.
        """
        if "image" not in batch:
            raise UserError(f"The data give {', '.join(batch)} but ProGAN needs image; choose other data.")
        channels, height, side = batch["image"].shape[1:]
        if channels != self.channels:
            raise UserError(
                f"The data have {channels} channels; set model.channels to that, or data.channels to "
                f"{self.channels}."
            )
        if height != side or side & (side - 1) or not LEAST <= side <= self.size:
            raise UserError(
                f"The data are of {side}x{height} pixels; set data.size to model.size, which is {self.size}."
            )

    # ---------------------------------------------------------------------------------------------------- use

    def settings_in_use(self) -> dict[str, Any]:
        """The resolution of weights that have not grown to the end."""
        grown = {"resolution": self.generator.side, "alpha": self.generator.alpha}
        return {} if grown == {"resolution": self.size, "alpha": 1.0} else grown

    def preview(self, batch: Batch) -> dict[str, Tensor]:
        """Columns of a sample grid: real pictures as D judges them, and fakes, at the current resolution."""
        return {"real": self.real(batch), "fake": self.generate(batch)}

    def sample(self, n: int, seed: int = 0, size: int | None = None) -> Tensor:
        """Draw ``n`` pictures (n, channels, S, S) in [-1, 1]; the same seed gives the same.

        Args:
            n: Number of pictures.
            seed: Seed of the noise.
            size: S; by default what the weights have grown to. Of less, the toRGB layer of that resolution
                makes the picture; it was trained last when the next resolution was faded in.

        Raises:
            UserError: ``size`` is no resolution of these weights.
        """
        own = self.generator.side
        if size is not None and (not LEAST <= size <= own or size & (size - 1)):
            raise UserError(f"There are no pictures of {size} px; give a power of two from {LEAST} to {own}.")
        with self.in_use(seed):
            parts = torch.split(self.noise(n), max(1, PIXELS_AT_ONCE // (size or own) ** 2))
            if size is None or size == own:
                made = [self.make(z) for z in parts]
            else:
                made = [self.generator(z, level_of(size)) for z in parts]
            return torch.cat(made).clamp(-1, 1)

    def forward(self, given: int, *maps: Tensor) -> Tensor:
        """As many fakes as ``given`` says, from fresh noise, in [-1, 1]."""
        return self.make(self.noise(given)).clamp(-1, 1)

    def discriminator_layers(self) -> list[list[nn.Parameter]]:
        """fromRGB of all resolutions, then the convolutions from the highest one on."""
        network: Any = self.discriminator
        first = [p for layer in reversed(network.from_rgb) for p in layer.parameters()]
        blocks = [layer for block in reversed(network.blocks) for layer in (block.first, block.second)]
        rest = (*blocks, network.conv, network.dense, network.last)
        return [first, *(list(layer.parameters()) for layer in rest)]


def level_of(side: int) -> int:
    """The level of a resolution: 0 for 4 pixels, 1 for 8."""
    return side.bit_length() - LEAST.bit_length()


def each(name: str, given: Number | tuple[Number, ...] | list[Number], count: int) -> list[Number]:
    """One number for each of ``count`` resolutions; the last one given holds for the rest.

    Raises:
        UsageError: None is given, or more than there are resolutions.
    """
    numbers = list(given) if isinstance(given, tuple | list) else [given]
    if not numbers:
        raise UsageError(
            f"model.{name} is an empty list; give a number for each resolution, {count} at most."
        )
    if len(numbers) > max(1, count) and given not in MINIBATCHES.values():
        raise UsageError(
            f"model.{name} has {len(numbers)} numbers, but {count} resolutions use it; leave out the rest."
        )
    return [numbers[min(at, len(numbers) - 1)] for at in range(count)]


def schedule(start: int, fade: list[int], stable: list[int], minibatches: list[int]) -> list[Phase]:
    """Stabilise the first level, then fade in and stabilise each of the others.

    Args:
        start: The first level.
        fade: Images per fade, from level 1 on.
        stable: Images per stabilisation, from level 0 on.
        minibatches: Minibatch per level.
    """
    phases = [Phase(start, False, minibatches[start], stable[start])]
    for level in range(start + 1, len(stable)):
        phases.append(Phase(level, True, minibatches[level], fade[level - 1]))
        phases.append(Phase(level, False, minibatches[level], stable[level]))
    return phases
