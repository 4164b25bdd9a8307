"""SRGAN: Photo-Realistic Single Image Super-Resolution Using a Generative Adversarial Network.

Ledig et al., CVPR 2017, https://arxiv.org/abs/1609.04802.

The generator G enlarges an image LR, by 4 in the paper; the discriminator D tells it from photographs HR::

    min_G max_D  E log D(HR) + E log(1 - D(G(LR)))                      (2)
    l_SR      = l_X + 1e-3 l_Gen                                        (3)
    l_MSE     = mean (HR - G(LR))^2                                     (4)
    l_VGG/i.j = mean (phi_ij(HR) - phi_ij(G(LR)))^2                     (5)
    l_Gen     = -log D(G(LR))                                           (6)

phi_ij are VGG19's activations after the j-th convolution before the i-th pooling, times 1/12.75 (section
3.2). The first stage, SRResNet, is the same generator under l_MSE alone (``adversarial: false``, ``content:
mse``); SRGAN starts from its weights. The module takes and returns images (B, C, H, W) in [-1, 1]; G itself
takes LR in [0, 1] and returns HR in [-1, 1] (section 3.2). D takes images of one size, 96 pixels, and returns
one logit per image. The paper does not say which is updated first; here D is, as in the GAN paper.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Any, Literal, Unpack

import torch
import torch.nn.functional as F
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

from zoo.adversarial import AdversarialModule, Batch, GameOptions, Terms
from zoo.bounds import Decay, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt
from zoo.errors import UsageError, UserError
from zoo.features.maps import FeatureMaps
from zoo.guards import say
from zoo.losses import bce

Variant = Literal["paper", "basicsr"]
Upsampling = Literal["subpixel", "resize"]
Scale = Literal[2, 3, 4, 8]
PAPER_MAPS = {"vgg22": "vgg19-relu2_2", "vgg54": "vgg19-relu5_4"}  # section 3.2: phi_2,2 and phi_5,4
TILE = 192  # side of the input's tiles, in pixels; one takes 1.3 GB with the paper's width at x4
INSTEAD = "--model.content hed-conv4_3 takes a trained network from a package, --model.content mse needs none"


def steps_of(scale: Scale) -> list[int]:
    """Factors of the sub-pixel layers that together enlarge by ``scale``."""
    return [3] if scale == 3 else [2] * int(math.log2(scale))


class ResidualBlock(nn.Module):
    """Two 3 x 3 convolutions with batch norm, a parametric ReLU between them, and a skip connection."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.PReLU(),
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Add the block's output to ``x``; the shape is kept."""
        y: Tensor = x + self.body(x)
        return y


class SRResNet(nn.Module):
    """The paper's generator (figure 4): residual blocks at the low resolution, then layers that enlarge.

    Args:
        channels: Channels of input and output.
        width: Channels of all layers.
        blocks: Residual blocks.
        scale: Factor by which the output is larger.
        upsampling: See :class:`SRGAN`.
    """

    def __init__(
        self, channels: int, width: int, blocks: int, scale: Scale, upsampling: Upsampling = "subpixel"
    ) -> None:
        super().__init__()
        self.scale = scale
        self.head = nn.Sequential(nn.Conv2d(channels, width, 9, padding=4), nn.PReLU())
        self.trunk = nn.Sequential(*(ResidualBlock(width) for _ in range(blocks)))
        self.merge = nn.Sequential(nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width))
        self.up = nn.Sequential()
        for step in steps_of(scale):
            if upsampling == "subpixel":
                layers = [nn.Conv2d(width, width * step**2, 3, padding=1), nn.PixelShuffle(step)]
            else:
                layers = [
                    nn.Upsample(scale_factor=step, mode="bilinear"),
                    nn.Conv2d(width, width, 3, padding=1),
                ]
            self.up.extend([*layers, nn.PReLU()])
        self.out = nn.Conv2d(width, channels, 9, padding=4)

    def forward(self, low: Tensor) -> Tensor:
        """Enlarge ``low`` (B, C, H, W) to (B, C, scale H, scale W)."""
        x = self.head(low)
        high: Tensor = self.out(self.up(x + self.merge(self.trunk(x))))
        return high


class Discriminator(nn.Module):
    """Eight 3 x 3 convolutions, four of stride 2, and two dense layers (figure 4); one logit per image.

    Args:
        channels: Channels of the image.
        width: Channels of the first layer.
        size: Side of the images that it judges, in pixels.
    """

    def __init__(self, channels: int, width: int, size: int) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(channels, width, 3, padding=1), nn.LeakyReLU(0.2, inplace=True)]
        before, side = width, size
        for after, stride in [(width * 2**level, stride) for level in range(4) for stride in (1, 2)][1:]:
            layers += [
                nn.Conv2d(before, after, 3, stride, padding=1, bias=False),
                nn.BatchNorm2d(after),
                nn.LeakyReLU(0.2, inplace=True),
            ]
            before, side = after, -(-side // stride)
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(
            nn.Linear(before * side**2, 1024), nn.LeakyReLU(0.2, inplace=True), nn.Linear(1024, 1)
        )

    def forward(self, image: Tensor) -> Tensor:
        """Images (B, C, size, size) to logits (B, 1): the paper's sigmoid is part of the loss."""
        logits: Tensor = self.classifier(self.features(image).flatten(1))
        return logits


def initialise(generator: SRResNet, unit: bool) -> None:
    """Initialise the generator as linear upsampling; the remaining weights keep PyTorch's defaults.

    The first feature maps carry the image's channels through all layers: sub-pixel layers copy each pixel,
    and the last layer averages the copies, which interpolates linearly between the centres of pixels. This
    holds inside: within ``scale // 2`` output pixels of the border the average takes in zero padding, which
    is black. With ``resize`` the layers themselves interpolate. Residual branches start at zero (Goyal
    2017), and all pixels into which a sub-pixel layer splits one start equal (Aitken 2017). Without this,
    hundreds of steps are spent on reaching the bicubic filter.

    Args:
        generator: Generator with PyTorch's default initialisation.
        unit: Whether its output is in [0, 1], and not in [-1, 1].
    """
    # differs: the paper says nothing of initialisation
    for block in generator.trunk:
        nn.init.zeros_(block.get_submodule("body.4").weight)  # type: ignore[arg-type]
    first, merge, last = generator.head[0], generator.merge[0], generator.out
    convolutions = [layer for layer in generator.up if isinstance(layer, nn.Conv2d)]
    assert isinstance(first, nn.Conv2d) and isinstance(merge, nn.Conv2d)
    with torch.no_grad():
        for layer in convolutions:
            copies = layer.out_channels // layer.in_channels
            for values in (layer.weight, layer.bias):
                assert values is not None
                values.copy_(values[::copies].clone().repeat_interleave(copies, 0))
        carried = last.out_channels
        if carried > first.out_channels:
            return
        nn.init.zeros_(merge.weight)
        for layer in (first, *convolutions):
            copies = layer.out_channels // layer.in_channels if layer is not first else 1
            assert layer.bias is not None
            layer.weight[: carried * copies] = 0
            layer.bias[: carried * copies] = 0
            middle = layer.kernel_size[0] // 2
            for channel in range(carried):
                layer.weight[copies * channel : copies * (channel + 1), channel, middle, middle] = 1
        assert last.bias is not None
        line = averaging(1 if isinstance(generator.up[0], nn.Upsample) else generator.scale)
        nn.init.zeros_(last.weight)
        for channel in range(carried):
            last.weight[channel, channel] = torch.outer(line, line) * (1 if unit else 2)
        last.bias.fill_(0 if unit else -1)


def averaging(scale: int) -> Tensor:
    """Kernel (9) that averages ``scale`` copies of a pixel around the centre, the outermost by half."""
    line = torch.zeros(9)
    line[4 - (scale - 1) // 2 : 5 + (scale - 1) // 2] = 1 / scale
    if scale % 2 == 0:
        line[[4 - scale // 2, 4 + scale // 2]] = 0.5 / scale
    return line


class SRGAN(AdversarialModule):
    """Enlarge ``batch["input"]`` to ``batch["target"]``.

    Args:
        variant: ``paper``, or ``basicsr``: BasicSR's networks (:mod:`zoo.references.srgan`) without batch
            norm in the generator, absolute instead of squared distances, images in [0, 1], and the generator
            is updated first.
        scale: Factor by which the target is larger.
        blocks: Residual blocks of the generator.
        width: Channels of the generator's layers.
        upsampling: ``subpixel`` layers, the paper's, or ``resize``: linear interpolation, then a convolution
            of 3 x 3, which gives the same weights to all pixels.
        discriminator_width: Channels of the discriminator's first layer.
        size: Side of the targets that the discriminator judges, in pixels: ``data.crop``, or ``data.size``
            of a world.
        in_channels: Channels of input and target.
        adversarial: Whether there is a discriminator; without it SRResNet is trained.
        content: Features in which fakes and targets are compared: ``vgg54`` (SRGAN), ``vgg22``, ``mse``
            (pixels, SRResNet), any of :class:`zoo.features.maps.FeatureMaps` (``hed-conv4_3``), or ``none``.
        content_weights: File of weights for that network, if it is timm's and not to be downloaded.
        content_scale: Factor on its feature maps (section 3.2); ``mse`` is not scaled.
        lambda_content: Weight of the content loss.
        lambda_pixel: Weight of an additional pixel distance; the paper has none.
        lambda_adversarial: Weight of the adversarial loss (equation 3).
        lambda_tv: Weight of the total variation; the paper has 2e-8 for SRResNet-VGG22.
        content_window: Side in pixels of a random window, the same of fake and target, that the content
            network sees in place of the whole; none in the paper. Its pooling has a fixed grid, which shows
            in the output unless the window moves; a smaller one is faster too.
        high_range: Value range of high-resolution images inside networks and losses: ``signed`` is [-1, 1]
            (section 3.2), ``unit`` is [0, 1], as in other implementations.
        freeze_norm: Keep the running statistics of the generator's batch norm as they are at the start, in
            training as in evaluation; the paper uses batch statistics in training.
        learning_rate: Adam's learning rate, for both players (section 3.2).
        betas: Adam's betas; the paper states the first.
        warmup: Steps over which the learning rate rises to its value; none in the paper.
        decay: Schedule of the learning rate, ``steps`` or ``cosine``.
        decay_at: For ``steps``, the steps after which the learning rate is cut, one in the paper; for
            ``cosine``, the step at which it reaches zero.
        decay_factor: Factor of each cut of ``steps``.

    Examples:
        >>> SRGAN(width=8, blocks=2, adversarial=False).sample(torch.zeros(1, 3, 20, 30)).shape
        torch.Size([1, 3, 80, 120])
    """

    takes = "picture"
    gives = "picture"
    schedule_interval = "step"
    reach: int

    def __init__(
        self,
        variant: Variant = "paper",
        scale: Scale = 4,
        blocks: NonNegativeInt = 16,
        width: PositiveInt = 64,
        upsampling: Upsampling = "subpixel",
        discriminator_width: PositiveInt = 64,
        size: PositiveInt = 96,
        in_channels: PositiveInt = 3,
        adversarial: bool = True,
        content: str = "vgg54",
        content_weights: str | None = None,
        content_scale: PositiveFloat = 1 / 12.75,
        lambda_content: NonNegativeFloat = 1.0,
        lambda_pixel: NonNegativeFloat = 0.0,
        lambda_adversarial: NonNegativeFloat = 1e-3,
        lambda_tv: NonNegativeFloat = 0.0,
        content_window: PositiveInt | None = None,
        high_range: Literal["signed", "unit"] = "signed",
        freeze_norm: bool = False,
        learning_rate: PositiveFloat = 1e-4,
        betas: tuple[Decay, Decay] = (0.9, 0.999),
        warmup: NonNegativeInt = 0,
        decay: Literal["steps", "cosine"] = "steps",
        decay_at: tuple[PositiveInt, ...] = (100_000,),
        decay_factor: PositiveFloat = 0.1,
        **options: Unpack[GameOptions],
    ) -> None:
        super().__init__(**options)
        self.save_hyperparameters()
        if not adversarial and content == "none" and not lambda_pixel:
            raise UsageError(
                "model.adversarial is false, model.content none and model.lambda_pixel 0: nothing is left to "
                "learn from."
            )
        if decay == "cosine" and len(decay_at) != 1:
            raise UsageError(f"model.decay cosine ends at one step; model.decay_at names {len(decay_at)}.")
        self.variant, self.scale, self.size, self.in_channels = variant, scale, size, in_channels
        self.adversarial, self.content, self.content_weights = adversarial, content, content_weights
        self.content_scale, self.lambda_content, self.lambda_tv = content_scale, lambda_content, lambda_tv
        self.lambda_pixel, self.lambda_adversarial = lambda_pixel, lambda_adversarial
        self.content_window = content_window
        self.high_range, self.freeze_norm = high_range, freeze_norm
        self.learning_rate, self.betas, self.warmup = learning_rate, betas, warmup
        self.decay, self.decay_at, self.decay_factor = decay, decay_at, decay_factor
        # a tuple hides the network from the module: its weights do not belong in checkpoints
        self._maps: tuple[nn.Module, ...] = ()
        # placeholder discriminator, so that the base still has two optimizers
        self.discriminator: nn.Module = nn.Linear(1, 1, bias=False)
        if variant == "paper":
            self.generator = SRResNet(in_channels, width, blocks, scale, upsampling)
            initialise(self.generator, high_range == "unit")
            if adversarial:
                self.discriminator = Discriminator(in_channels, discriminator_width, size)
        else:
            from zoo.references.srgan import MSRResNet, VGGStyleDiscriminator, initialise_basicsr

            self.generator = MSRResNet(in_channels, width, blocks, scale)
            self.generator.apply(initialise_basicsr)
            if adversarial:
                self.discriminator = VGGStyleDiscriminator(in_channels, discriminator_width, size)
        self.reach = 2 * blocks + 10  # input pixels on each side that an output pixel depends on

    def setup(self, stage: str) -> None:
        """Before a training: load the network of the content loss."""
        if stage != "fit":
            return
        self.train(self.training)  # Lightning does not call it, and frozen statistics need it
        if self._network_name:
            self._content_maps()

    def on_fit_start(self) -> None:
        """As the base, and say so if the generator is untrained."""
        super().on_fit_start()
        if self.adversarial and not self.restored and self.beginning is None:
            say("The generator is untrained; the paper starts SRGAN from SRResNet (model.init_from).")

    def train(self, mode: bool = True) -> SRGAN:
        """Set the mode; frozen batch norm of the generator stays in evaluation mode."""
        super().train(mode)
        if self.freeze_norm:
            for layer in self.generator.modules():
                if isinstance(layer, nn.BatchNorm2d):
                    layer.eval()
        return self

    @classmethod
    def suited(cls, arguments: dict[str, Any], batch: Batch) -> dict[str, Any]:
        """Channels, scale and size of the data."""
        side = batch["target"].shape[-1]
        return arguments | {
            "in_channels": batch["input"].shape[1],
            "scale": side // batch["input"].shape[-1],
            "size": side,
        }

    def may_start_anew(self, generator: Collection[str]) -> tuple[str, ...]:
        """The layers that enlarge, after weights that enlarge another way (``upsampling``)."""
        own = {key for key in self.generator.state_dict() if key.startswith("up.")}
        return () if own <= set(generator) else ("up.",)

    # ------------------------------------------------------------------------------- forward pass and losses

    def check(self, batch: Batch) -> None:
        """Refuse images with another number of channels.

        Raises:
            UserError: Names the argument to change.
        """
        found = batch["input"].shape[1]
        if found != self.in_channels:
            raise UserError(
                f"The input has {found} channels but model.in_channels is {self.in_channels}; "
                "set it to that number."
            )

    def generate(self, batch: Batch) -> Tensor:
        """``batch["input"]`` enlarged, (B, C, scale H, scale W) in [-1, 1]; unclamped while training.

        Raises:
            UserError: The images have another number of channels.
        """
        self.check(batch)
        low = batch["input"]  # differs: in RGB order, where the paper has BGR
        high: Tensor = self.generator((low + 1) / 2)
        if self.high_range == "unit":
            high = 2 * high - 1
        return high if self.training else high.clamp(-1, 1)

    def discriminator_loss(self, batch: Batch, fake: Tensor) -> Terms:
        """Equation 2, on separate batches of photographs and fakes for batch norm."""
        return {"real": bce(self.judge(batch["target"]), 1.0), "fake": bce(self.judge(fake), 0.0)}

    def generator_loss(self, batch: Batch, fake: Tensor) -> Terms:
        """Content loss and adversarial loss (equation 3)."""
        target, terms = batch["target"], {}  # (B, C, scale H, scale W)
        if fake.shape != target.shape:
            raise UserError(
                f"The target is {_size(target)} where the output is {_size(fake)}; set data.scale to "
                "model.scale."
            )
        if self.content == "mse":
            terms["content"] = self.lambda_content * self.distance(self._inner(fake), self._inner(target))
        elif self.content != "none":
            maps = self._content_maps()  # differs: normalised as its weights need; the paper does not say how
            window = self._window(target)
            a, b = (self.content_scale * maps(x[window]) for x in (fake, target))
            terms["content"] = self.lambda_content * self.distance(a, b)
        if self.lambda_pixel:
            terms["pixel"] = self.lambda_pixel * self.distance(self._inner(fake), self._inner(target))
        if self.lambda_tv:
            terms["tv"] = self.lambda_tv * total_variation(self._inner(fake))
        if self.adversarial:
            terms["adversarial"] = self.lambda_adversarial * bce(self.judge(fake), 1.0)
        return terms

    def distance(self, a: Tensor, b: Tensor) -> Tensor:
        """The mean squared difference (equations 4 and 5), or the absolute one of BasicSR."""
        return F.mse_loss(a, b) if self.variant == "paper" else F.l1_loss(a, b)

    def judge(self, image: Tensor) -> Tensor:
        """The discriminator's logits (B, 1) for images in [-1, 1]."""
        if image.shape[2:] != (self.size, self.size):
            raise UserError(
                f"The discriminator judges images of {self.size}x{self.size}, not {_size(image)}; set "
                "model.size to data.crop (data.size of a world)."
            )
        logits: Tensor = self.discriminator(self._inner(self.seen(image)))
        return logits

    def _inner(self, image: Tensor) -> Tensor:
        return image if self.high_range == "signed" else (image + 1) / 2

    def _window(self, image: Tensor) -> tuple[slice, ...]:
        """Where the content network looks: everywhere, or within a random window."""
        if self.content_window is None:
            return ()
        places = [slice(None), slice(None)]
        for side in image.shape[2:]:
            wanted = min(self.content_window, side)
            first = int(torch.randint(side - wanted + 1, ()))
            places.append(slice(first, first + wanted))
        return tuple(places)

    @property
    def _network_name(self) -> str | None:
        return None if self.content in ("mse", "none") else PAPER_MAPS.get(self.content, self.content)

    def _content_maps(self) -> nn.Module:
        if not self._maps:
            assert self._network_name
            try:
                self._maps = (FeatureMaps(self._network_name, self.content_weights),)
            except UserError as error:
                raise UserError(
                    f"model.content {self.content}: {str(error).rstrip('.')}; {INSTEAD}."
                ) from error
        return self.place_like_generator(self._maps[0])

    # ------------------------------------------------------------------------- training step and optimizers

    def training_step(self, batch: Batch, batch_idx: int) -> Terms:
        """Update the discriminator, then the generator; in BasicSR the other way round."""
        if self.adversarial and self.variant == "paper":
            return super().training_step(batch, batch_idx)
        parts = self.micro_batches(batch)
        return self.generator_first(parts) if self.adversarial else self.generator_step(parts)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Adam for both players, and the schedule of the learning rate (section 3.2)."""
        optimizers = self.adam(self.learning_rate, self.betas)
        if not self.decay_at and not self.warmup:
            return optimizers
        return optimizers, [LambdaLR(optimizer, self._rate) for optimizer in optimizers]

    def _rate(self, step: int) -> float:
        risen = min((step + 1) / self.warmup, 1.0) if self.warmup else 1.0
        if self.decay == "cosine":
            return risen * 0.5 * (1 + math.cos(math.pi * min(step / self.decay_at[0], 1.0)))
        return risen * self.decay_factor ** sum(step >= at for at in self.decay_at)

    # ------------------------------------------------------------------------------------------------- use

    def preview(self, batch: Batch) -> dict[str, Tensor]:
        """Columns of a sample grid."""
        low = F.interpolate(batch["input"], scale_factor=float(self.scale), mode="nearest-exact")
        return {"low": low, "fake": self.generate(batch), "high": batch["target"]}

    def sample(self, images: Tensor, seed: int = 0) -> Tensor:
        """Enlarge images of any size, large ones in tiles that overlap enough to leave no seam.

        Args:
            images: (B, C, H, W) in [-1, 1].
            seed: No effect: this model is deterministic.

        Returns:
            (B, C, scale H, scale W) in [-1, 1].

        Raises:
            UserError: The images have another number of channels.
        """
        height, width = images.shape[2:]
        weight, s = next(self.generator.parameters()), self.scale
        enlarged = images.new_empty(*images.shape[:2], s * height, s * width)
        with self.in_use(seed):
            groups = (torch.split(each, self.at_once) for each in (images, enlarged))
            for group, places in zip(*groups, strict=True):
                for top in range(0, height, TILE):
                    for left in range(0, width, TILE):
                        y, x = max(0, top - self.reach), max(0, left - self.reach)
                        tile = group[..., y : top + TILE + self.reach, x : left + TILE + self.reach]
                        made = self.generate({"input": tile.to(weight)})
                        part = made[..., s * (top - y) :, s * (left - x) :][..., : s * TILE, : s * TILE]
                        place = places[..., s * top :, s * left :]
                        place[..., : part.shape[-2], : part.shape[-1]] = part.to(enlarged)
        return enlarged


def total_variation(image: Tensor) -> Tensor:
    """Mean over pixels of the length of the gradient."""
    # differs: the paper gives no formula
    across = image[..., :-1, 1:] - image[..., :-1, :-1]
    down = image[..., 1:, :-1] - image[..., :-1, :-1]
    return (across.square() + down.square() + 1e-12).sqrt().mean()  # the slope of the root is infinite at 0


def _size(image: Tensor) -> str:
    return "x".join(map(str, image.shape[2:]))
