"""pix2pixHD: High-Resolution Image Synthesis and Semantic Manipulation with Conditional GANs.

Wang, Liu, Zhu, Tao, Kautz and Catanzaro, CVPR 2018, https://arxiv.org/abs/1711.11585.

The generator G turns a label map s into a photograph x; discriminators D_k judge the pair at K scales::

    min_G ( (max_D sum_k L_GAN(G, D_k)) + lambda sum_k L_FM(G, D_k) )              (4)
    L_FM(G, D_k) = E sum_i 1/N_i |D_k^(i)(s, x) - D_k^(i)(s, G(s))|_1              (3)

L_GAN is least squares (appendix A); a perceptual distance of the same form over VGG's layers is added. G is
made from coarse to fine: a global generator at the low resolution, then local enhancers, each at twice the
resolution of the one before, then all together (section 3.1). A map of the borders between things stands
beside the labels (section 3.3); an encoder may add features, one vector a thing, of which the average styles
of each class are kept for use (section 3.4).

Label maps are (B, classes, H, W) one-hot, pictures (B, C, H, W) in [-1, 1], things (B, H, W) numbers. The
order of a turn is that of the authors' code: both losses are of one fake and of the players as they stood
before either moved; G moves, then D.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Literal, Unpack

import safetensors.torch
import torch
import torch.nn.functional as F
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn

from zoo.adversarial import AdversarialModule, Batch, GameOptions, Terms
from zoo.errors import UserError
from zoo.files.checkpoints import read_checkpoint
from zoo.losses import least_squares

Stage = Literal["global", "enhancer", "joint"]
Maps = list[list[Tensor]]  # of each scale, finest first, the output of each layer
Network = Callable[[Tensor], list[Tensor]]  # a picture's activations, coarser and coarser
PERCEPTUAL_WEIGHTS = (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1.0)  # of the five layers, as in the authors' code
DRAWS = 1024  # random numbers that one picture's styles are drawn from, for each class


class ResidualBlock(nn.Module):
    """Two 3 x 3 convolutions around which the input is added."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.ReflectionPad2d(1),
            nn.Conv2d(channels, channels, 3),
            nn.InstanceNorm2d(channels),
            nn.ReLU(inplace=True),
            nn.ReflectionPad2d(1),
            nn.Conv2d(channels, channels, 3),
            nn.InstanceNorm2d(channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Add what the block computes; shape is kept."""
        y: Tensor = x + self.body(x)
        return y


def _entry(in_channels: int, width: int) -> list[nn.Module]:
    return [
        nn.ReflectionPad2d(3),
        nn.Conv2d(in_channels, width, 7),
        nn.InstanceNorm2d(width),
        nn.ReLU(inplace=True),
    ]


def _halving(width: int) -> list[nn.Module]:
    return [
        nn.Conv2d(width, 2 * width, 3, stride=2, padding=1),
        nn.InstanceNorm2d(2 * width),
        nn.ReLU(inplace=True),
    ]


def _doubling(width: int) -> list[nn.Module]:
    return [
        nn.ConvTranspose2d(width, width // 2, 3, stride=2, padding=1, output_padding=1),
        nn.InstanceNorm2d(width // 2),
        nn.ReLU(inplace=True),
    ]


def _exit(width: int, out_channels: int) -> list[nn.Module]:
    return [nn.ReflectionPad2d(3), nn.Conv2d(width, out_channels, 7), nn.Tanh()]


def _hourglass(in_channels: int, width: int, downsamplings: int, blocks: int) -> list[nn.Module]:
    layers = _entry(in_channels, width)
    for level in range(downsamplings):
        layers += _halving(width * 2**level)
    layers += [ResidualBlock(width * 2**downsamplings) for _ in range(blocks)]
    for level in reversed(range(downsamplings)):
        layers += _doubling(width * 2 ** (level + 1))
    return layers


class LocalEnhancer(nn.Module):
    """One local enhancer G2: it halves its input, adds the coarser network's features, and doubles.

    Args:
        in_channels: Channels of its input.
        width: Channels of its outermost layer, half of those of the coarser network.
        blocks: Residual blocks at half of the resolution.
    """

    def __init__(self, in_channels: int, width: int, blocks: int) -> None:
        super().__init__()
        self.down = nn.Sequential(*_entry(in_channels, width), *_halving(width))
        self.up = nn.Sequential(*(ResidualBlock(2 * width) for _ in range(blocks)), *_doubling(2 * width))

    def forward(self, x: Tensor, coarse: Tensor) -> Tensor:
        """Refine ``coarse`` (B, 2 width, H/2, W/2) by ``x`` (B, in_channels, H, W)."""
        y: Tensor = self.up(self.down(x) + coarse)
        return y


class FeatureEncoder(nn.Module):
    """The encoder E: features of a picture, averaged over each thing (section 3.4).

    Args:
        in_channels: Channels of the picture.
        features: Channels of the features.
        width: Channels of the outermost layer.
        downsamplings: Halvings.
    """

    def __init__(self, in_channels: int, features: int, width: int, downsamplings: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *_hourglass(in_channels, width, downsamplings, 0), *_exit(width, features)
        )

    def forward(self, picture: Tensor, things: Tensor) -> Tensor:
        """Features (B, features, H, W), the same all over each of the ``things`` (B, H, W) of a picture."""
        values, thing = self.of_things(picture, things)
        return values[thing].movedim(-1, 1).to(picture.dtype)

    def of_things(self, picture: Tensor, things: Tensor) -> tuple[Tensor, Tensor]:
        """The features (n, features) of all things of a batch, and which of them each pixel (B, H, W) is."""
        return averages(self.layers(picture), things)


class Generator(nn.Module):
    """The global generator G1 and the local enhancers around it, coarsest first; the encoder beside them.

    Args:
        in_channels: Channels of what it translates: labels, borders and features together.
        out_channels: Channels of the picture.
        width: Channels of the global generator's outermost layer; each enhancer has half of the one before.
        downsamplings: Halvings within the global generator.
        blocks: Residual blocks of the global generator.
        enhancers: Local enhancers, each at twice the resolution of the one before.
        local_blocks: Residual blocks of each enhancer.
        encoder: Makes the features that are among the input, where there are any.
        styles: Classes and styles of each class that can be kept; features are the encoder's.
    """

    styles: Tensor
    style_counts: Tensor

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        width: int,
        downsamplings: int,
        blocks: int,
        enhancers: int,
        local_blocks: int,
        encoder: FeatureEncoder | None = None,
        styles: tuple[int, int, int] = (0, 0, 0),
    ) -> None:
        super().__init__()
        self.trunk = nn.Sequential(*_hourglass(in_channels, width, downsamplings, blocks))
        self.enhancers = nn.ModuleList(
            LocalEnhancer(in_channels, width // 2**level, local_blocks) for level in range(1, enhancers + 1)
        )
        self.output = nn.Sequential(*_exit(width // 2**enhancers, out_channels))
        self.encoder = encoder
        self.frozen = False  # all but the finest enhancer and the output, while that is trained alone
        if encoder is not None:
            self.register_buffer("styles", torch.zeros(styles))
            self.register_buffer("style_counts", torch.zeros(styles[0], dtype=torch.long))

    def forward(self, x: Tensor) -> Tensor:
        """Translate ``x``; its halves are averages over 3 x 3 pixels."""
        scales = [x]
        for _ in self.enhancers:
            scales.append(halved(scales[-1]))
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            y: Tensor = self.trunk(scales.pop())
            for enhancer in self.enhancers[:-1]:
                y = enhancer(scales.pop(), y)
        for enhancer in self.enhancers[-1:]:
            y = enhancer(scales.pop(), y)
        y = self.output(y)
        return y


class MultiscaleDiscriminator(nn.Module):
    """Discriminators of one form for a picture and its halves; a patch has 70 pixels at its own scale.

    Args:
        in_channels: Channels of what they see: the generator's input, without features, and a picture.
        width: Channels of the first layer; they double up to 512.
        layers: Layers of stride 2.
        scales: Discriminators; the coarsest has the number 0, as in the authors' code.
    """

    def __init__(self, in_channels: int, width: int, layers: int, scales: int) -> None:
        super().__init__()
        self.scales = nn.ModuleList(_patches(in_channels, width, layers) for _ in range(scales))

    def forward(self, x: Tensor) -> Maps:
        """The outputs of all layers, the last of them logits (B, 1, h, w), of each scale from the finest."""
        found: Maps = []
        for layers in reversed(self.scales):
            y = x = halved(x) if found else x
            maps = []
            assert isinstance(layers, nn.ModuleList)
            for layer in layers:
                y = layer(y)
                maps.append(y)
            found.append(maps)
        return found


def _patches(in_channels: int, width: int, layers: int) -> nn.ModuleList:
    found: list[nn.Module] = [
        nn.Sequential(nn.Conv2d(in_channels, width, 4, stride=2, padding=2), nn.LeakyReLU(0.2, inplace=True))
    ]
    for depth in range(1, layers + 1):
        before, channels = (min(width * 2**level, max(width, 512)) for level in (depth - 1, depth))
        found.append(
            nn.Sequential(
                nn.Conv2d(before, channels, 4, stride=2 if depth < layers else 1, padding=2),
                nn.InstanceNorm2d(channels),
                nn.LeakyReLU(0.2, inplace=True),
            )
        )
    return nn.ModuleList([*found, nn.Sequential(nn.Conv2d(channels, 1, 4, padding=2))])


def halved(x: Tensor) -> Tensor:
    """Half of each side: the average of 3 x 3 pixels, without those beyond the border."""
    return F.avg_pool2d(x, 3, stride=2, padding=1, count_include_pad=False)


def borders(things: Tensor) -> Tensor:
    """Where a pixel's thing is not that of one of its four neighbours (section 3.3).

    Args:
        things: (B, H, W) numbers.

    Returns:
        (B, 1, H, W) bool.
    """
    found = torch.zeros_like(things, dtype=torch.bool)
    rows, columns = things[:, 1:] != things[:, :-1], things[..., 1:] != things[..., :-1]
    found[:, 1:] |= rows
    found[:, :-1] |= rows
    found[..., 1:] |= columns
    found[..., :-1] |= columns
    return found[:, None]


def averages(values: Tensor, things: Tensor) -> tuple[Tensor, Tensor]:
    """Average ``values`` over each thing of each picture.

    Args:
        values: (B, C, H, W).
        things: (B, H, W) numbers from 0.

    Returns:
        Averages (n, C), and the row of each pixel (B, H, W).
    """
    offset = torch.arange(len(things), device=things.device) * (things.max() + 1)
    numbers = things + offset[:, None, None]
    _, row = torch.unique(numbers, return_inverse=True)
    flat = values.movedim(1, -1).flatten(0, 2)
    if flat.dtype in (torch.float16, torch.bfloat16):  # sums of many pixels
        flat = flat.float()
    count = torch.bincount(row.flatten())
    sums = flat.new_zeros(len(count), flat.shape[1]).index_add(0, row.flatten(), flat)
    return sums / count[:, None], row


def feature_matching(fake: Maps, real: Maps) -> Tensor:
    """Equation 3, summed over the scales: distances of all layers but the logits; no gradient to ``real``."""
    parts = [
        F.l1_loss(a, b.detach())
        for ours, theirs in zip(fake, real, strict=True)
        for a, b in zip(ours[:-1], theirs[:-1], strict=True)
    ]
    return torch.stack(parts).sum()


def perceptual(network: Network, fake: Tensor, real: Tensor, relative: bool = False) -> Tensor:
    """The distance of two pictures in a network's activations (appendix A, without lambda).

    Args:
        network: Gives five maps.
        fake: (B, 3, H, W) in [-1, 1].
        real: As ``fake``; takes no gradient.
        relative: Divide each layer's distance by the mean size of the real picture's activations there.
    """
    with torch.no_grad():
        wanted = network(real)
    parts = [
        weight * F.l1_loss(a, b) / (b.abs().mean() + 1e-8 if relative else 1.0)
        for weight, a, b in zip(PERCEPTUAL_WEIGHTS, network(fake), wanted, strict=True)
    ]
    return torch.stack(parts).sum()


def initialise(module: nn.Module) -> None:
    """Draw weights from N(0, 0.02) (appendix A); biases are 0."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(module.weight, 0.0, 0.02)
        assert module.bias is not None
        nn.init.zeros_(module.bias)


class Pix2PixHD(AdversarialModule):
    """Paint ``batch["target"]`` from the label map ``batch["input"]`` and the things ``batch["instances"]``.

    Args:
        stage: ``global``: the global generator alone; ``enhancer``: the finest local enhancer is trained
            around frozen coarser networks; ``joint``: all are trained (section 3.1).
        start_from: A training checkpoint, or an exported folder with both players, of the stage before;
            weights that fit are taken, the rest begins anew. Read when a training begins, not when it is
            resumed.
        enhancers: Local enhancers around the global generator; none in the stage ``global``, else 1 or 2.
        in_channels: Channels of ``input``: classes (35 in Cityscapes).
        out_channels: Channels of ``target``.
        instance_edges: Whether the borders between things are input too (section 3.3).
        features: Channels of the encoder's features (the paper's is 3); 0 for no encoder.
        clusters: Styles that are kept of each class at most (section 3.4).
        kept_style: Which of them a thing takes in use where none is named: ``drawn``, any, as in the paper,
            or ``commonest``, the first of its class, so that a label map has one painting.
        width: Channels of the global generator's outermost layer; each enhancer has half of the one before.
        downsamplings: Halvings within the global generator.
        blocks: Residual blocks of the global generator.
        local_blocks: Residual blocks of an enhancer.
        encoder_width: Channels of the encoder's outermost layer.
        encoder_downsamplings: Halvings within the encoder.
        discriminators: Scales at which pictures are judged (section 3.2); the authors' code has 2 by default.
        discriminator_width: Channels of a discriminator's first layer.
        discriminator_layers: Layers of stride 2 in each.
        lambda_feature: Weight of feature matching (section 3.2); 0 leaves it out.
        matching: ``sum`` adds up the scales, as equation 4 does; ``mean`` averages them and divides by a
            quarter of the discriminators' layers, as the authors' code does.
        lambda_perceptual: Weight of the perceptual distance (appendix A); nothing without a network.
        perceptual: The network that measures it: ``vgg19`` on ImageNet as in the paper; ``hed``, the VGG16 of
            an edge detector, distances relative to its activations; ``none``, the paper's row without VGG.
        perceptual_weights: A file for ``vgg19``; timm's own when not given.
        learning_rate: Of Adam, for both players.
        betas: Of Adam.
        epochs_constant: Epochs at the full learning rate.
        epochs_decay: Epochs of linear decay to zero after them; 0 for none.
    """

    takes: ClassVar[Literal["noise", "picture"]] = "picture"
    generator: Generator

    def __init__(
        self,
        stage: Stage = "global",
        start_from: str | None = None,
        enhancers: int = 0,
        in_channels: int = 35,
        out_channels: int = 3,
        instance_edges: bool = True,
        features: int = 0,
        clusters: int = 10,
        kept_style: Literal["drawn", "commonest"] = "drawn",
        width: int = 64,
        downsamplings: int = 4,
        blocks: int = 9,
        local_blocks: int = 3,
        encoder_width: int = 16,
        encoder_downsamplings: int = 4,
        discriminators: int = 3,
        discriminator_width: int = 64,
        discriminator_layers: int = 3,
        lambda_feature: float = 10.0,
        matching: Literal["sum", "mean"] = "sum",
        lambda_perceptual: float = 10.0,
        perceptual: Literal["vgg19", "hed", "none"] = "vgg19",
        perceptual_weights: str | None = None,
        learning_rate: float = 2e-4,
        betas: tuple[float, float] = (0.5, 0.999),
        epochs_constant: int = 100,
        epochs_decay: int = 100,
        **options: Unpack[GameOptions],
    ) -> None:
        super().__init__(**options)
        self.save_hyperparameters()
        if (stage == "global") != (enhancers == 0):
            raise UserError(
                f"model.stage is {stage} and model.enhancers is {enhancers}; the stage global has 0 of them, "
                "the others 1 or 2."
            )
        if width % 2**enhancers:
            raise UserError(f"model.width is {width}; the enhancers want a multiple of {2**enhancers}.")
        if features and clusters < 1:
            raise UserError(f"model.clusters is {clusters}; give at least 1, or set model.features to 0.")
        self.start_from = start_from
        self.in_channels, self.out_channels = in_channels, out_channels
        self.instance_edges, self.features, self.clusters = instance_edges, features, clusters
        self.kept_style = kept_style
        self.lambda_feature, self.matching = lambda_feature, matching
        self.lambda_perceptual, self.perceptual = lambda_perceptual, perceptual
        self.perceptual_weights = perceptual_weights
        self.learning_rate, self.betas = learning_rate, betas
        self.epochs_constant, self.epochs_decay = epochs_constant, epochs_decay
        deepest = max(downsamplings + enhancers, encoder_downsamplings if features else 0)
        self.multiple = 2**deepest  # sides of pictures are multiples of this, and at least twice as much
        condition = in_channels + instance_edges
        encoder = (
            FeatureEncoder(out_channels, features, encoder_width, encoder_downsamplings) if features else None
        )
        self.generator = Generator(
            condition + features,
            out_channels,
            width,
            downsamplings,
            blocks,
            enhancers,
            local_blocks,
            encoder,
            (in_channels, clusters, features),
        )
        self.generator.frozen = stage == "enhancer"
        self.discriminator = MultiscaleDiscriminator(
            condition + out_channels, discriminator_width, discriminator_layers, discriminators
        )
        self.matching_scale = 4 / (discriminator_layers + 1) / discriminators if matching == "mean" else 1.0
        self.apply(initialise)
        self._network: list[nn.Module] = []  # a frozen network is in no list of modules, so in no checkpoint

    # ---------------------------------------------------------------------------------------------- the turn

    def setup(self, stage: str) -> None:
        """Fetch the perceptual network and the weights of the stage before, so that what lacks is told early.

        Raises:
            UserError: Either is absent or does not fit.
        """
        if stage != "fit":
            return
        if self.lambda_perceptual and self.perceptual != "none":
            self.perceptual_network()
        if self.start_from and self.trainer.ckpt_path is None:
            self.begin_with(Path(self.start_from))

    def training_step(self, batch: Batch, batch_idx: int) -> Terms:
        """The generator moves, then the discriminators, both on what was made before either moved."""
        parts = [part | {"condition": self.condition(part)} for part in self.micro_batches(batch)]
        # one pass over the real pictures serves both moves; of many micro-batches no graph is kept
        real = self.judge(parts[0], parts[0]["target"]) if len(parts) == 1 else None
        fakes: list[Tensor] = []

        def making(part: Batch) -> Terms:
            fake = self.generate(part)
            fakes.append(fake.detach())
            return self.generator_loss(part, fake, real)

        moved = self.update("generator", *(partial(making, part) for part in parts))
        judging = [
            partial(self.discriminator_loss, part, fake, real)
            for part, fake in zip(parts, fakes, strict=True)
        ]
        return moved | self.update("discriminator", *judging)

    def generate(self, batch: Batch) -> Tensor:
        """The painting of ``batch["input"]``, (B, out_channels, H, W) in [-1, 1].

        With an encoder, training takes the features of ``target``; else they are those of kept styles, drawn
        by torch's global generator or the commonest, or taken from ``batch["features"]``.

        Raises:
            UserError: Channels or sides of the batch do not fit the networks, or things are missing.
        """
        self._check(batch)
        x = self.condition(batch)
        if self.features:
            x = torch.cat([x, self._features(batch)], dim=1)
        fake: Tensor = self.generator(x)
        return fake

    def condition(self, batch: Batch) -> Tensor:
        """What both players see: the label map, and the borders between things."""
        if "condition" in batch:
            ready: Tensor = batch["condition"]
            return ready
        x: Tensor = batch["input"]
        if not self.instance_edges:
            return x
        if "instances" not in batch:
            raise UserError("This data has no map of things; set model.instance_edges to false.")
        return torch.cat([x, borders(batch["instances"]).to(x.dtype)], dim=1)

    def judge(self, batch: Batch, picture: Tensor) -> Maps:
        """What the discriminators' layers say of ``picture`` as a painting of the batch's labels."""
        maps: Maps = self.discriminator(torch.cat([self.condition(batch), picture], dim=1))
        return maps

    def discriminator_loss(self, batch: Batch, fake: Tensor, real: Maps | None = None) -> Terms:
        """Half of the least squares of each kind, summed over the scales.

        Args:
            batch: Its condition and target are seen.
            fake: The painting.
            real: What the discriminators say of the target, where that is known already.
        """
        real = self.judge(batch, batch["target"]) if real is None else real
        return {
            "fake": 0.5 * _distance(self.judge(batch, fake), 0.0),
            "real": 0.5 * _distance(real, 1.0),
        }

    def generator_loss(self, batch: Batch, fake: Tensor, real: Maps | None = None) -> Terms:
        """Least squares summed over the scales, feature matching and the perceptual distance (equation 4)."""
        judged = self.judge(batch, fake)
        terms = {"adversarial": _distance(judged, 1.0)}
        if self.lambda_feature:
            if real is None:
                with torch.no_grad():
                    real = self.judge(batch, batch["target"])
            terms["matching"] = self.lambda_feature * self.matching_scale * feature_matching(judged, real)
        if self.lambda_perceptual and self.perceptual != "none":
            network, relative = self.perceptual_network(), self.perceptual == "hed"
            distance = perceptual(network, fake, batch["target"], relative)
            terms["perceptual"] = self.lambda_perceptual * distance
        return terms

    def perceptual_network(self) -> Network:
        """The frozen network of the perceptual distance, where the generator is.

        Raises:
            UserError: Its weights are absent.
        """
        if not self._network:
            # imported here: most uses need neither
            if self.perceptual == "hed":
                from zoo.features.hed import HED

                self._network.append(HED())
            else:
                from zoo.features.vgg19 import vgg19

                self._network.append(vgg19(self.perceptual_weights))
        network = self.place_like_generator(self._network[0])
        return network.stages if self.perceptual == "hed" else network  # type: ignore[return-value]

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Adam for both players, the encoder with the generator; a constant rate, then a linear decay."""
        fused = next(self.parameters()).device.type in ("cpu", "cuda", "mps")
        optimizers: list[torch.optim.Optimizer] = [
            torch.optim.Adam(player.parameters(), self.learning_rate, self.betas, fused=fused)
            for player in (self.generator, self.discriminator)
        ]
        first, epochs = self.epochs_constant, self.epochs_decay
        if not epochs:
            return optimizers
        return optimizers, [
            torch.optim.lr_scheduler.LambdaLR(
                optimizer, lambda epoch: 1.0 - min(max(0, epoch - first) / epochs, 1.0)
            )
            for optimizer in optimizers
        ]

    def begin_with(self, path: Path) -> None:
        """Take the weights of the stage before.

        The global generator and the enhancers that both have must be the same; the output and a
        discriminator's layer are taken where they fit, as an enhancer has its own output.

        Args:
            path: A training checkpoint, or an exported folder.

        Raises:
            UserError: The weights are absent, damaged or of another network.
        """
        given = _weights(path)
        own = self.state_dict()
        fits = {k: v for k, v in given.items() if k in own and own[k].shape == v.shape}
        free = ("generator.output.", "generator.style", "discriminator.")
        same = [k for k in own if k.startswith("generator.") and not k.startswith(free)]
        known = {k.split(".")[2] for k in given if k.startswith("generator.enhancers.")}
        wanted = [k for k in same if "enhancers" not in k or k.split(".")[2] in known]
        wrong = [k for k in wanted if k not in fits]
        wrong += [k for k in given if k.startswith("generator.") and not k.startswith(free) and k not in own]
        if wrong:
            raise UserError(
                f"{path} does not fit this model ({wrong[0]} is missing or of another shape); "
                "model.start_from must be of the stage before, with the same width, blocks and input."
            )
        self.load_state_dict(fits, strict=False)

    # ------------------------------------------------------------------------------------------------ styles

    def cluster_styles(self, batches: Iterable[Batch]) -> None:
        """Keep the typical features of each class: centres of K-means over all things (section 3.4).

        Args:
            batches: Of training pictures, not augmented, with ``input``, ``target`` and, where the data has
                them, ``instances``.
        """
        encoder = self.generator.encoder
        if encoder is None:
            raise UserError("model.features is 0: there is no encoder whose styles could be kept.")
        from sklearn.cluster import KMeans  # takes a second

        found: dict[int, list[Tensor]] = {}
        with torch.no_grad():
            for batch in batches:
                classes = batch["input"].argmax(1)
                values, row = encoder.of_things(batch["target"], self._regions(batch))
                label = torch.zeros(len(values), dtype=torch.long, device=row.device)
                label[row.flatten()] = classes.flatten()  # a region has one class
                for number, value in zip(label.tolist(), values.float().cpu(), strict=True):
                    found.setdefault(number, []).append(value)
        generator = self.generator
        generator.styles.zero_()
        generator.style_counts.zero_()
        for number, values_of in found.items():
            points = torch.stack(values_of)
            count = min(self.clusters, len(set(map(tuple, points.tolist()))))
            fitted = KMeans(count, random_state=0, n_init=3).fit(points.numpy())
            sizes = torch.bincount(torch.from_numpy(fitted.labels_).long(), minlength=count)
            order = sizes.argsort(descending=True, stable=True)  # the commonest style is number 0
            centres = torch.from_numpy(fitted.cluster_centers_)[order]
            generator.styles[number, :count] = centres.to(generator.styles)
            generator.style_counts[number] = count

    def styled(self, classes: Tensor, instances: Tensor, styles: Tensor | None = None) -> Tensor:
        """Kept features at each pixel, (B, features, H, W).

        Args:
            classes: (B, H, W).
            instances: (B, H, W).
            styles: (B, H, W): which style to take; where -1, and everywhere by default, as ``kept_style``
                says: one draw for each thing of each class with torch's global generator, or the commonest.

        Raises:
            UserError: A style was asked for that its class does not have.
        """
        generator = self.generator
        counts = generator.style_counts[classes]
        if self.kept_style == "commonest":
            picks = torch.zeros_like(classes)
        else:
            # of a fixed number, so that a change to one thing leaves the draws of all others alone
            batch = torch.arange(len(classes), device=classes.device)[:, None, None]
            draws = torch.rand(len(classes), self.in_channels, DRAWS).to(classes.device)
            picks = (draws[batch, classes, instances % DRAWS] * counts).long()
        if styles is not None:
            if bool((wrong := styles >= counts.clamp(min=1)).any()):
                number, most = int(classes[wrong][0]), int(counts[wrong][0])
                raise UserError(
                    f"Class {number} has {most} styles, not {int(styles[wrong][0]) + 1}; count them from 0."
                )
            picks = torch.where(styles >= 0, styles, picks)
        return generator.styles[classes, picks].movedim(-1, 1)

    def _features(self, batch: Batch) -> Tensor:
        if "features" in batch:
            given: Tensor = batch["features"]
            return given
        encoder = self.generator.encoder
        assert encoder is not None
        if self.training:
            found: Tensor = encoder(batch["target"], self._regions(batch))
            return found
        classes = batch["input"].argmax(1)
        return self.styled(classes, batch.get("instances", torch.zeros_like(classes))).to(batch["input"])

    def _regions(self, batch: Batch) -> Tensor:
        """A number for each thing of each class: what is no thing is apart by its class."""
        classes: Tensor = batch["input"].argmax(1)
        regions: Tensor = classes + self.in_channels * batch.get("instances", torch.zeros_like(classes))
        return regions

    # --------------------------------------------------------------------------------------------------- use

    def preview(self, batch: Batch) -> dict[str, Tensor]:
        """Columns of a sample grid; with an encoder, in the target's own style."""
        styled = batch
        if self.generator.encoder is not None:
            styled = batch | {"features": self.generator.encoder(batch["target"], self._regions(batch))}
        return {"input": batch["input"], "fake": self.generate(styled), "target": batch["target"]}

    def sample(
        self,
        images: Tensor,
        seed: int = 0,
        instances: Tensor | None = None,
        styles: Tensor | None = None,
    ) -> Tensor:
        """Paint label maps of any size, one by one, so that none depends on its neighbours.

        Args:
            images: (B, in_channels, H, W), one-hot.
            seed: Of the styles that are drawn.
            instances: (B, H, W) numbers of things; without them each class is one thing.
            styles: (B, H, W): the kept style to take at each pixel, -1 where ``kept_style`` says which.

        Returns:
            (B, out_channels, H, W) in [-1, 1].

        Raises:
            UserError: The maps do not fit the model or one another, or there is no such style.
        """
        for name, given in (("instances", instances), ("styles", styles)):
            if given is not None and given.shape != (len(images), *images.shape[-2:]):
                raise UserError(
                    f"The map of {name} is {tuple(given.shape)}, the label maps are {tuple(images.shape)}; "
                    "give one number for each pixel."
                )
        classes = images.argmax(1)
        # without things the borders are those of the labels, as where stuff has no instances
        things = classes if instances is None else instances
        chosen = torch.full_like(classes, -1) if styles is None else styles
        was_training, weight = self.training, next(self.generator.parameters())
        self.eval()
        outputs = []
        try:
            with torch.no_grad(), torch.random.fork_rng():
                for image, thing, label, style in zip(images, things, classes, chosen, strict=True):
                    torch.manual_seed(seed)
                    x, window = self._padded(image[None].to(weight))
                    thing, label, style = (
                        self._padded(part[None, None].to(weight.device))[0][:, 0]
                        for part in (thing, label, style)
                    )
                    batch = {"input": x, "instances": thing}
                    if self.features:
                        batch["features"] = self.styled(label, thing, style).to(weight)
                    outputs.append(self.generate(batch)[window])
        finally:
            self.train(was_training)
        return torch.cat(outputs)

    def _padded(self, x: Tensor) -> tuple[Tensor, tuple[Any, ...]]:
        """A map (1, C, H, W) mirrored to sides that the networks take, and where it lies in there."""
        places = []
        for axis in (-2, -1):
            side = x.shape[axis]
            more = max(-side % self.multiple, 2 * self.multiple - side)
            before = more // 2
            at = torch.arange(-before, side + more - before, device=x.device)
            period = max(1, 2 * (side - 1))
            at = (at % period - side + 1).abs().neg() + side - 1  # mirrored as often as it takes
            x = x.index_select(axis, at)
            places.append(slice(before, before + side))
        return x, (..., *places)

    def _check(self, batch: Batch) -> None:
        for key, wanted, name in (("input", self.in_channels, "in"), ("target", self.out_channels, "out")):
            if key in batch and batch[key].shape[1] != wanted:
                raise UserError(
                    f"The {key} has {batch[key].shape[1]} channels but model.{name}_channels is {wanted}; "
                    "set it to that number (of classes, for an input of labels)."
                )
        height, width = batch["input"].shape[-2:]
        if height % self.multiple or width % self.multiple or min(height, width) < 2 * self.multiple:
            raise UserError(
                f"Pictures of {height}x{width} do not fit: the networks want multiples of {self.multiple}, "
                f"at least {2 * self.multiple}; set data.size to such sides, or model.downsamplings to fewer."
            )


def _distance(maps: Maps, target: float) -> Tensor:
    return torch.stack([least_squares(layers[-1], target) for layers in maps]).sum()


def _weights(path: Path) -> dict[str, Tensor]:
    """Both players' weights in a training checkpoint or an exported folder."""
    path = path.expanduser()
    if path.is_dir():
        file = path / "model.safetensors"
        if not file.is_file():
            raise UserError(f"The folder {path} holds no {file.name}; give model.start_from a checkpoint.")
        try:
            return safetensors.torch.load_file(file)
        except Exception as error:
            raise UserError(f"{file} is damaged ({type(error).__name__}); export it again.") from error
    found: dict[str, Tensor] = read_checkpoint(path)["state_dict"]
    return found
