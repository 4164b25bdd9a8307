"""SRGAN: Photo-Realistic Single Image Super-Resolution Using a Generative Adversarial Network.

Ledig et al., CVPR 2017, https://arxiv.org/abs/1609.04802.

The generator G enlarges a picture LR, by 4 in the paper; the discriminator D tells it from photographs::

    min_G max_D  E log D(HR) + E log(1 - D(G(LR)))                      (2)
    l_SR      = l_X + 1e-3 l_Gen                                        (3)
    l_MSE     = mean (HR - G(LR))^2                                     (4)
    l_VGG/i.j = mean (phi_ij(HR) - phi_ij(G(LR)))^2                     (5)
    l_Gen     = -log D(G(LR))                                           (6)

phi_ij are VGG19's activations after the j-th convolution before the i-th pooling, times 1/12.75 (section
3.2). The first stage, SRResNet, is the same generator under l_MSE alone (``adversarial: false``, ``content:
mse``); SRGAN starts from its weights. Pictures are (B, C, H, W) in [-1, 1] at the module's edge; inside, G
sees LR in [0, 1] and gives HR in [-1, 1] (section 3.2). D gives one logit a picture of one size, 96 pixels.
The paper does not say who moves first; as in the GAN paper, which it follows, it is D.
"""

from __future__ import annotations

import math
from typing import ClassVar, Literal, Unpack

import torch
import torch.nn.functional as F
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn

from zoo.adversarial import AdversarialModule, Batch, GameOptions, Terms
from zoo.errors import UserError
from zoo.features.maps import FeatureMaps
from zoo.losses import bce

Variant = Literal["paper", "basicsr"]
Scale = Literal[2, 3, 4, 8]
PAPER_MAPS = {"vgg22": "vgg19-relu2_2", "vgg54": "vgg19-relu5_4"}  # section 3.2: phi_2,2 and phi_5,4
TILE = 192  # pixels of the input that are enlarged at once; 1.3 GB with the paper's width at x4
INSTEAD = (
    "--model.content hed-conv4_3 takes a trained network that comes in a package, --model.content mse needs "
    "none"
)


def steps_of(scale: Scale) -> list[int]:
    """Factors of the sub-pixel layers that together enlarge by ``scale``."""
    return [3] if scale == 3 else [2] * int(math.log2(scale))


class ResidualBlock(nn.Module):
    """Two 3 x 3 convolutions with batch norm and a parametric ReLU between, to which the input is added."""

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
        """Add what the block computes; shape is kept."""
        y: Tensor = x + self.body(x)
        return y


class SRResNet(nn.Module):
    """The paper's generator (figure 4): residual blocks at the low resolution, then sub-pixel layers.

    Args:
        channels: Of both pictures.
        width: Channels of all layers.
        blocks: Residual blocks.
        scale: How many times larger the output is.
    """

    def __init__(self, channels: int, width: int, blocks: int, scale: Scale) -> None:
        super().__init__()
        self.scale = scale
        self.head = nn.Sequential(nn.Conv2d(channels, width, 9, padding=4), nn.PReLU())
        self.trunk = nn.Sequential(*(ResidualBlock(width) for _ in range(blocks)))
        self.merge = nn.Sequential(nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width))
        self.up = nn.Sequential()
        for step in steps_of(scale):
            self.up.append(nn.Conv2d(width, width * step**2, 3, padding=1))
            self.up.append(nn.PixelShuffle(step))
            self.up.append(nn.PReLU())
        self.out = nn.Conv2d(width, channels, 9, padding=4)

    def forward(self, low: Tensor) -> Tensor:
        """Enlarge ``low``."""
        x = self.head(low)
        high: Tensor = self.out(self.up(x + self.merge(self.trunk(x))))
        return high


class Discriminator(nn.Module):
    """Eight 3 x 3 convolutions, four of stride 2, and two dense layers (figure 4); one logit a picture.

    Args:
        channels: Of the picture.
        width: Channels of the first layer.
        size: Side of the pictures that it judges, in pixels.
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

    def forward(self, picture: Tensor) -> Tensor:
        """Logits (B, 1): the paper's sigmoid is part of the loss."""
        logits: Tensor = self.classifier(self.features(picture).flatten(1))
        return logits


def initialise(generator: SRResNet, unit: bool) -> None:
    """Begin as a plain enlargement, by torch's own draw beside it; the paper says nothing of first weights.

    The first maps carry the picture's channels through all layers, each pixel copied by the sub-pixel layers
    and the copies averaged by the last layer, which draws lines between the centres of pixels. Residual
    branches begin at nothing (Goyal 2017), and all pixels that a sub-pixel layer makes of one begin alike
    (Aitken 2017). Otherwise hundreds of turns are spent on reaching the bicubic filter.

    Args:
        generator: With weights as torch draws them.
        unit: Whether its output is in [0, 1], and not in [-1, 1].
    """
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
        line = averaging(generator.scale)
        nn.init.zeros_(last.weight)
        for channel in range(carried):
            last.weight[channel, channel] = torch.outer(line, line) * (1 if unit else 2)
        last.bias.fill_(0 if unit else -1)


def averaging(scale: Scale) -> Tensor:
    """Weights (9) that average over ``scale`` copies of a pixel around the middle, half of the outer ones."""
    line = torch.zeros(9)
    line[4 - (scale - 1) // 2 : 5 + (scale - 1) // 2] = 1 / scale
    if scale % 2 == 0:
        line[[4 - scale // 2, 4 + scale // 2]] = 0.5 / scale
    return line


class SRGAN(AdversarialModule):
    """Enlarge ``batch["input"]`` to ``batch["target"]``.

    Args:
        variant: ``paper``, or ``basicsr``: BasicSR's networks without batch norm in the generator, absolute
            instead of squared distances, pictures in [0, 1], and the generator moves first.
        scale: How many times larger the target is.
        blocks: Residual blocks of the generator.
        width: Channels of the generator's layers.
        discriminator_width: Channels of the discriminator's first layer.
        size: Side of the targets that the discriminator judges, in pixels: ``data.crop``, or ``data.size``
            of a world.
        in_channels: Channels of both pictures.
        adversarial: Without it there is no discriminator, and what is trained is SRResNet.
        content: Where generated and true pictures are compared: ``vgg54`` (SRGAN), ``vgg22``, ``mse``
            (SRResNet), any of :class:`zoo.features.maps.FeatureMaps` (``hed-conv4_3``), or ``none``.
        content_weights: A file of weights for that network, where it is timm's and not to be fetched.
        content_scale: What its maps are multiplied by (section 3.2); ``mse`` is not scaled.
        lambda_content: Weight of the content loss.
        lambda_pixel: Weight of a pixel distance beside it; the paper has none.
        lambda_adversarial: Weight of the adversarial loss (equation 3).
        lambda_tv: Weight of the total variation; the paper has 2e-8 for SRResNet-VGG22.
        high_range: Values of high-resolution pictures inside networks and losses: ``signed`` is [-1, 1]
            (section 3.2), ``unit`` is [0, 1], as in other implementations.
        start_from: Weights that the generator starts from: a name, an exported folder or a checkpoint.
        freeze_norm: Train the generator with the running statistics of its batch norm as they are at the
            start, so that it does what it will do in use; the paper freezes them in use only.
        learning_rate: Of Adam, for both players (section 3.2).
        betas: Of Adam; the paper states the first.
        warmup: Turns over which the learning rate rises to its value; none in the paper.
        decay: ``steps`` or ``cosine``.
        decay_at: ``steps``: after these turns the learning rate is cut, once in the paper; ``cosine``: the
            turn at which it has come down to zero.
        decay_factor: What ``steps`` multiplies it by.
    """

    takes: ClassVar[Literal["noise", "picture"]] = "picture"
    schedule_interval = "turn"

    def __init__(
        self,
        variant: Variant = "paper",
        scale: Scale = 4,
        blocks: int = 16,
        width: int = 64,
        discriminator_width: int = 64,
        size: int = 96,
        in_channels: int = 3,
        adversarial: bool = True,
        content: str = "vgg54",
        content_weights: str | None = None,
        content_scale: float = 1 / 12.75,
        lambda_content: float = 1.0,
        lambda_pixel: float = 0.0,
        lambda_adversarial: float = 1e-3,
        lambda_tv: float = 0.0,
        high_range: Literal["signed", "unit"] = "signed",
        start_from: str | None = None,
        freeze_norm: bool = False,
        learning_rate: float = 1e-4,
        betas: tuple[float, float] = (0.9, 0.999),
        warmup: int = 0,
        decay: Literal["steps", "cosine"] = "steps",
        decay_at: tuple[int, ...] = (100_000,),
        decay_factor: float = 0.1,
        **options: Unpack[GameOptions],
    ) -> None:
        super().__init__(**options)
        self.save_hyperparameters()
        if not adversarial and content == "none" and not lambda_pixel:
            raise UserError(
                "model.adversarial is false, model.content none and model.lambda_pixel 0: nothing is left to "
                "learn from."
            )
        if decay == "cosine" and len(decay_at) != 1:
            raise UserError(f"model.decay cosine ends at one turn; model.decay_at names {len(decay_at)}.")
        self.variant, self.scale, self.size, self.in_channels = variant, scale, size, in_channels
        self.adversarial, self.content, self.content_weights = adversarial, content, content_weights
        self.content_scale, self.lambda_content, self.lambda_pixel = (
            content_scale,
            lambda_content,
            lambda_pixel,
        )
        self.lambda_adversarial, self.lambda_tv, self.start_from = lambda_adversarial, lambda_tv, start_from
        self.high_range, self.freeze_norm = high_range, freeze_norm
        self.learning_rate, self.betas, self.warmup = learning_rate, betas, warmup
        self.decay, self.decay_at, self.decay_factor = decay, decay_at, decay_factor
        # a tuple hides the network from the module: its weights belong into no checkpoint
        self._maps: tuple[nn.Module, ...] = ()
        # one idle weight where nobody judges: the game keeps two players
        self.generator: nn.Module
        self.discriminator: nn.Module = nn.Linear(1, 1, bias=False)
        if variant == "paper":
            self.generator = SRResNet(in_channels, width, blocks, scale)
            initialise(self.generator, high_range == "unit")
            if adversarial:
                self.discriminator = Discriminator(in_channels, discriminator_width, size)
        else:
            from zoo.references.srgan import MSRResNet, VGGStyleDiscriminator, initialise_basicsr

            self.generator = MSRResNet(in_channels, width, blocks, scale)
            self.generator.apply(initialise_basicsr)
            if adversarial:
                self.discriminator = VGGStyleDiscriminator(in_channels, discriminator_width, size)
        # pixels the output depends on, on each side
        self.reach = 2 * blocks + 10

    def setup(self, stage: str) -> None:
        """Before a training: take the generator's first weights, and the network of the content loss."""
        if stage != "fit":
            return
        self.train(self.training)  # Lightning does not, and frozen statistics want it
        if self.start_from is not None and self.trainer.ckpt_path is None:
            self._start(self.start_from)
        if self._network_name:
            self._content_maps()

    def train(self, mode: bool = True) -> SRGAN:
        """Also keep the statistics of the generator's batch norm, where they are frozen."""
        super().train(mode)
        if self.freeze_norm:
            for layer in self.generator.modules():
                if isinstance(layer, nn.BatchNorm2d):
                    layer.eval()
        return self

    def _start(self, origin: str) -> None:
        from zoo.checkpoints import load

        given = load(origin)
        generator = given.module.generator if "generator" in given.config["players"] else None
        wanted = self.generator.state_dict()
        found = {} if generator is None else generator.state_dict()
        shapes = {key: value.shape for key, value in found.items()}
        if shapes != {key: value.shape for key, value in wanted.items()}:
            raise UserError(
                f"model.start_from {origin} holds no generator of these model.blocks, width, scale and "
                "variant; set them to those of the first stage."
            )
        self.generator.load_state_dict(found)

    # ------------------------------------------------------------------------------------------ the losses

    def generate(self, batch: Batch) -> Tensor:
        """``batch["input"]`` enlarged, (B, C, scale H, scale W) in [-1, 1]; unclamped while training.

        Raises:
            UserError: The pictures have another number of channels.
        """
        low = batch["input"]
        if low.shape[1] != self.in_channels:
            raise UserError(
                f"The input has {low.shape[1]} channels but model.in_channels is {self.in_channels}; "
                "set it to that number."
            )
        high: Tensor = self.generator((low + 1) / 2)
        if self.high_range == "unit":
            high = 2 * high - 1
        return high if self.training else high.clamp(-1, 1)

    def discriminator_loss(self, batch: Batch, fake: Tensor) -> Terms:
        """Equation 2; photographs and generated pictures are normalised each on their own."""
        return {
            "real": bce(self.judge(batch["target"]), 1.0),
            "fake": bce(self.judge(fake), 0.0),
        }

    def generator_loss(self, batch: Batch, fake: Tensor) -> Terms:
        """Content loss and adversarial loss (equation 3)."""
        target, terms = batch["target"], {}
        if fake.shape != target.shape:
            raise UserError(
                f"The target is {_size(target)} where the output is {_size(fake)}; set data.scale to "
                "model.scale."
            )
        if self.content == "mse":
            terms["content"] = self.lambda_content * self.distance(self._inner(fake), self._inner(target))
        elif self.content != "none":
            maps = self._content_maps()
            a, b = (self.content_scale * maps(x) for x in (fake, target))
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

    def judge(self, picture: Tensor) -> Tensor:
        """The discriminator's logits (B, 1) for pictures in [-1, 1]."""
        if picture.shape[2:] != (self.size, self.size):
            raise UserError(
                f"The discriminator judges pictures of {self.size}x{self.size}, not {_size(picture)}; set "
                "model.size to data.crop (data.size of a world)."
            )
        logits: Tensor = self.discriminator(self._inner(picture))
        return logits

    def _inner(self, picture: Tensor) -> Tensor:
        return picture if self.high_range == "signed" else (picture + 1) / 2

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

    # -------------------------------------------------------------------------------------------- the game

    def training_step(self, batch: Batch, batch_idx: int) -> Terms:
        """The discriminator moves, then the generator; in BasicSR the other way round."""
        parts = self.micro_batches(batch)
        if not self.adversarial:
            return self.generator_step(parts)
        if self.variant == "paper":
            return super().training_step(batch, batch_idx)
        return self._generator_first(parts)

    def _generator_first(self, parts: list[Batch]) -> Terms:
        """The discriminator sees what the generator made before its move."""
        fakes: list[Tensor] = []

        def make(part: Batch) -> Terms:
            fake = self.generate(part)
            fakes.append(fake.detach())
            return self.generator_loss(part, fake)

        made = self.update("generator", *(lambda part=part: make(part) for part in parts))
        pairs = zip(parts, fakes, strict=True)
        return made | self.update(
            "discriminator",
            *(lambda part=part, fake=fake: self.discriminator_loss(part, fake) for part, fake in pairs),
        )

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Adam for both players, and the learning rate's phases (section 3.2)."""
        fused = next(self.parameters()).device.type in ("cpu", "cuda", "mps")
        optimizers: list[torch.optim.Optimizer] = [
            torch.optim.Adam(player.parameters(), self.learning_rate, self.betas, fused=fused)
            for player in (self.generator, self.discriminator)
        ]
        if not self.decay_at and not self.warmup:
            return optimizers
        return optimizers, [
            torch.optim.lr_scheduler.LambdaLR(optimizer, self._rate) for optimizer in optimizers
        ]

    def _rate(self, turn: int) -> float:
        risen = min((turn + 1) / self.warmup, 1.0) if self.warmup else 1.0
        if self.decay == "cosine":
            return risen * 0.5 * (1 + math.cos(math.pi * min(turn / self.decay_at[0], 1.0)))
        return risen * self.decay_factor ** sum(turn >= at for at in self.decay_at)

    # ------------------------------------------------------------------------------------------------- use

    def preview(self, batch: Batch) -> dict[str, Tensor]:
        """Columns of a sample grid."""
        low = F.interpolate(batch["input"], scale_factor=float(self.scale), mode="nearest-exact")
        return {"low": low, "fake": self.generate(batch), "high": batch["target"]}

    def sample(self, images: Tensor, seed: int = 0) -> Tensor:
        """Enlarge pictures of any size, large ones in tiles with so much margin that no seam is made.

        Args:
            images: (B, C, H, W) in [-1, 1].
            seed: Changes nothing: there is no chance in this model.

        Returns:
            (B, C, scale H, scale W) in [-1, 1].

        Raises:
            UserError: The pictures have another number of channels.
        """
        height, width = images.shape[2:]
        weight, was_training, s = next(self.generator.parameters()), self.training, self.scale
        self.eval()
        enlarged = images.new_empty(*images.shape[:2], s * height, s * width)
        try:
            with torch.no_grad():
                for number, image in enumerate(images):
                    for top in range(0, height, TILE):
                        for left in range(0, width, TILE):
                            y, x = max(0, top - self.reach), max(0, left - self.reach)
                            tile = image[None, :, y : top + TILE + self.reach, x : left + TILE + self.reach]
                            made = self.generate({"input": tile.to(weight)})[0]
                            part = made[:, s * (top - y) :, s * (left - x) :][:, : s * TILE, : s * TILE]
                            place = enlarged[number, :, s * top :, s * left :]
                            place[:, : part.shape[1], : part.shape[2]] = part.to(enlarged)
        finally:
            self.train(was_training)
        return enlarged


def total_variation(picture: Tensor) -> Tensor:
    """Mean over pixels of the length of the gradient."""
    across, down = (
        picture[..., :-1, 1:] - picture[..., :-1, :-1],
        picture[..., 1:, :-1] - picture[..., :-1, :-1],
    )
    return (across.square() + down.square() + 1e-12).sqrt().mean()  # the root has no slope at 0


def _size(picture: Tensor) -> str:
    return "x".join(map(str, picture.shape[2:]))
