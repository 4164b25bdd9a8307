"""pix2pixHD: High-Resolution Image Synthesis and Semantic Manipulation with Conditional GANs.

Wang, Liu, Zhu, Tao, Kautz and Catanzaro, CVPR 2018, https://arxiv.org/abs/1711.11585.

The generator G turns a label map s into a photograph x; discriminators D_k judge the pair at K scales::

    min_G ( (max_D sum_k L_GAN(G, D_k)) + lambda sum_k L_FM(G, D_k) )              (4)
    L_FM(G, D_k) = E sum_i 1/N_i |D_k^(i)(s, x) - D_k^(i)(s, G(s))|_1              (3)

L_GAN is least squares (appendix A); a perceptual distance of the same form over VGG's layers is added. G is
trained from coarse to fine: a global generator at the low resolution, then local enhancers, each at twice the
resolution of the one before, then all together (section 3.1). An instance boundary map is input beside the
labels (section 3.3). An encoder may add features, one vector per instance; the cluster centres of each class
are kept as styles for use (section 3.4).

Label maps are (B, classes, H, W) one-hot, images (B, C, H, W) in [-1, 1], instance maps (B, H, W) integers.
As in the authors' code, both losses of a step are of one fake and of the players before either update; G is
updated, then D.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import Any, Literal, Unpack

import torch
import torch.nn.functional as F
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

from zoo.adversarial import AdversarialModule, Batch, GameOptions, Terms
from zoo.bounds import Decay, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt
from zoo.errors import UsageError, UserError
from zoo.guards import say
from zoo.losses import least_squares
from zoo.losses.augment import draw

Upsampling = Literal["transposed", "resize"]
Stage = Literal["global", "enhancer", "joint"]
KeptStyle = Literal["drawn", "together", "commonest"]
Maps = list[list[Tensor]]  # the outputs of each layer, for each scale from the finest
Network = Callable[[Tensor], list[Tensor]]  # an image to its activations, from fine to coarse
# differs: weights of the five layers as in the authors' code; the paper has none but 1/M_i
PERCEPTUAL_WEIGHTS = (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1.0)
DRAWS = 1024  # random numbers per class and image from which styles are drawn


class ResidualBlock(nn.Module):
    """Two 3 x 3 convolutions with a skip connection around them."""

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
        """Add the block's output to ``x``; the shape is kept."""
        y: Tensor = x + self.body(x)
        return y


def _entry(in_channels: int, width: int) -> list[nn.Module]:
    return [
        nn.ReflectionPad2d(3),
        nn.Conv2d(in_channels, width, 7),
        nn.InstanceNorm2d(width),
        nn.ReLU(inplace=True),
    ]


def _downsampling(width: int) -> list[nn.Module]:
    return [
        nn.Conv2d(width, 2 * width, 3, stride=2, padding=1),
        nn.InstanceNorm2d(2 * width),
        nn.ReLU(inplace=True),
    ]


def _upsampling(width: int, kind: Upsampling) -> list[nn.Module]:
    layers: list[nn.Module]
    if kind == "transposed":
        layers = [nn.ConvTranspose2d(width, width // 2, 3, stride=2, padding=1, output_padding=1)]
    else:
        layers = [nn.Upsample(scale_factor=2), nn.ReflectionPad2d(1), nn.Conv2d(width, width // 2, 3)]
    return [*layers, nn.InstanceNorm2d(width // 2), nn.ReLU(inplace=True)]


def _exit(width: int, out_channels: int) -> list[nn.Module]:
    return [nn.ReflectionPad2d(3), nn.Conv2d(width, out_channels, 7), nn.Tanh()]


def _encoder_decoder(
    in_channels: int, width: int, downsamplings: int, blocks: int, upsampling: Upsampling = "transposed"
) -> list[nn.Module]:
    layers = _entry(in_channels, width)
    for level in range(downsamplings):
        layers += _downsampling(width * 2**level)
    layers += [ResidualBlock(width * 2**downsamplings) for _ in range(blocks)]
    for level in reversed(range(downsamplings)):
        layers += _upsampling(width * 2 ** (level + 1), upsampling)
    return layers


class LocalEnhancer(nn.Module):
    """Local enhancer G2: downsamples its input, adds the coarser network's features, and upsamples.

    Args:
        in_channels: Channels of its input.
        width: Channels of its outermost layer, half of those of the coarser network.
        blocks: Residual blocks at half of the resolution.
        upsampling: See :class:`Pix2PixHD`.
    """

    def __init__(self, in_channels: int, width: int, blocks: int, upsampling: Upsampling) -> None:
        super().__init__()
        self.down = nn.Sequential(*_entry(in_channels, width), *_downsampling(width))
        trunk = (ResidualBlock(2 * width) for _ in range(blocks))
        self.up = nn.Sequential(*trunk, *_upsampling(2 * width, upsampling))

    def forward(self, x: Tensor, coarse: Tensor) -> Tensor:
        """Refine ``coarse`` (B, 2 width, H/2, W/2) by ``x`` (B, in_channels, H, W)."""
        y: Tensor = self.up(self.down(x) + coarse)
        return y


class FeatureEncoder(nn.Module):
    """The encoder E: features of an image, averaged over each instance (section 3.4).

    Args:
        in_channels: Channels of the image.
        features: Channels of the features.
        width: Channels of the outermost layer.
        downsamplings: Number of downsamplings.
    """

    def __init__(self, in_channels: int, features: int, width: int, downsamplings: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *_encoder_decoder(in_channels, width, downsamplings, 0), *_exit(width, features)
        )

    def forward(self, image: Tensor, instances: Tensor) -> Tensor:
        """Features (B, features, H, W), constant over each of the ``instances`` (B, H, W) of an image."""
        values, row = self.of_instances(image, instances)
        return values[row].movedim(-1, 1).to(image.dtype)

    def of_instances(self, image: Tensor, instances: Tensor) -> tuple[Tensor, Tensor]:
        """The features (n, features) of all instances of a batch, and the row of each pixel (B, H, W)."""
        return averages(self.layers(image), instances)


class Generator(nn.Module):
    """The global generator G1 and the local enhancers around it, coarsest first, with the encoder E.

    Args:
        in_channels: Channels of its input: labels, boundaries and features concatenated.
        out_channels: Channels of the image.
        width: Channels of the global generator's outermost layer; each enhancer has half of the one before.
        downsamplings: Downsamplings of the global generator.
        blocks: Residual blocks of the global generator.
        enhancers: Number of local enhancers, each at twice the resolution of the one before.
        local_blocks: Residual blocks of each enhancer.
        encoder: Encoder of the features that are part of the input, if there are any.
        styles: Shape of the kept styles: classes, styles per class, features.
        upsampling: See :class:`Pix2PixHD`.
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
        upsampling: Upsampling = "transposed",
    ) -> None:
        super().__init__()
        self.trunk = nn.Sequential(*_encoder_decoder(in_channels, width, downsamplings, blocks, upsampling))
        self.enhancers = nn.ModuleList(
            LocalEnhancer(in_channels, width // 2**level, local_blocks, upsampling)
            for level in range(1, enhancers + 1)
        )
        self.output = nn.Sequential(*_exit(width // 2**enhancers, out_channels))
        self.encoder = encoder
        self.frozen = False  # whether all but the finest enhancer and the output are frozen
        if encoder is not None:
            self.register_buffer("styles", torch.zeros(styles))
            self.register_buffer("style_counts", torch.zeros(styles[0], dtype=torch.long))

    def forward(self, x: Tensor) -> Tensor:
        """Translate ``x`` (B, in_channels, H, W) to (B, out_channels, H, W)."""
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
    """Discriminators of the same shape for an image and its downsampled copies; patches of 70 pixels each.

    Args:
        in_channels: Channels of their input: the generator's, without features, and an image.
        width: Channels of the first layer; they double up to 512.
        layers: Layers of stride 2.
        scales: Number of discriminators; the coarsest has index 0, as in the authors' code.
    """

    def __init__(self, in_channels: int, width: int, layers: int, scales: int) -> None:
        super().__init__()
        self.scales = nn.ModuleList(_patches(in_channels, width, layers) for _ in range(scales))

    def forward(self, x: Tensor) -> Maps:
        """The outputs of all layers, the last being logits (B, 1, h, w), for each scale from the finest."""
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
    """Downsample by 2: the average of 3 x 3 pixels, without those beyond the border."""
    return F.avg_pool2d(x, 3, stride=2, padding=1, count_include_pad=False)


def boundaries(instances: Tensor) -> Tensor:
    """Mark pixels whose instance differs from that of one of their four neighbours (section 3.3).

    Args:
        instances: (B, H, W) integers.

    Returns:
        (B, 1, H, W) bool.
    """
    found = torch.zeros_like(instances, dtype=torch.bool)
    rows, columns = instances[:, 1:] != instances[:, :-1], instances[..., 1:] != instances[..., :-1]
    found[:, 1:] |= rows
    found[:, :-1] |= rows
    found[..., 1:] |= columns
    found[..., :-1] |= columns
    return found[:, None]


def averages(values: Tensor, instances: Tensor) -> tuple[Tensor, Tensor]:
    """Average ``values`` over each instance of each image.

    Args:
        values: (B, C, H, W).
        instances: (B, H, W) integers from 0.

    Returns:
        Averages (n, C), and the row of each pixel (B, H, W).
    """
    offset = torch.arange(len(instances), device=instances.device) * (instances.max() + 1)
    numbers = instances + offset[:, None, None]  # unique over the batch
    _, row = torch.unique(numbers, return_inverse=True)
    flat = values.movedim(1, -1).flatten(0, 2)  # (B * H * W, C)
    if flat.dtype in (torch.float16, torch.bfloat16):  # sums of many pixels
        flat = flat.float()
    count = torch.bincount(row.flatten())
    sums = flat.new_zeros(len(count), flat.shape[1]).index_add(0, row.flatten(), flat)
    return sums / count[:, None], row


def feature_matching(fake: Maps, real: Maps) -> Tensor:
    """Equation 3, summed over the scales: L1 of all layers but the logits; no gradient to ``real``."""
    # differs: equation 3 sums over all T layers; the authors' code leaves out the last, the logits
    parts = [
        F.l1_loss(a, b.detach())
        for ours, theirs in zip(fake, real, strict=True)
        for a, b in zip(ours[:-1], theirs[:-1], strict=True)
    ]
    return torch.stack(parts).sum()


def perceptual(network: Network, fake: Tensor, real: Tensor, relative: bool = False) -> Tensor:
    """Distance of two batches of images in a network's activations (appendix A, without lambda).

    Args:
        network: Returns five feature maps.
        fake: (B, 3, H, W) in [-1, 1].
        real: As ``fake``; takes no gradient.
        relative: Whether to divide each layer's distance by the mean magnitude of the real activations.
    """
    with torch.no_grad():
        wanted = network(real)
    parts = [
        weight * F.l1_loss(a, b) / (b.abs().mean() + 1e-8 if relative else 1.0)
        for weight, a, b in zip(PERCEPTUAL_WEIGHTS, network(fake), wanted, strict=True)
    ]
    return torch.stack(parts).sum()


def initialise(module: nn.Module) -> None:
    """Draw weights from N(0, 0.02) (appendix A); set biases to 0."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(module.weight, 0.0, 0.02)
        assert module.bias is not None
        nn.init.zeros_(module.bias)


class Pix2PixHD(AdversarialModule):
    """Translate label maps ``input`` with instance maps ``instances`` to images like ``target``.

    Args:
        stage: Training stage (section 3.1). ``global``: the global generator alone; ``enhancer``: the finest
            local enhancer around frozen coarser networks; ``joint``: all networks. ``init_from`` gives the
            weights of the stage before, whose global generator and enhancers must be the same.
        enhancers: Local enhancers around the global generator; 0 in the stage ``global``, else 1 or 2.
        in_channels: Channels of ``input``: classes (35 in Cityscapes).
        out_channels: Channels of ``target``.
        instance_edges: Whether the instance boundary map is part of the input (section 3.3).
        features: Channels of the encoder's features (3 in the paper); 0 for no encoder.
        clusters: Maximum number of styles to keep per class (section 3.4).
        kept_style: Style of an instance in use if none is given: ``drawn``, any of its class, as in the
            paper; ``together``, one number drawn for all instances of an image, where the styles of one
            number are those of one training image, so that they match; ``commonest``, the first of its
            class, so that the output is deterministic.
        upsampling: ``transposed`` convolutions, the paper's, or ``resize``: nearest neighbours, then a
            convolution, in the generator; the encoder stays as it is.
        width: Channels of the global generator's outermost layer; each enhancer has half of the one before.
        downsamplings: Downsamplings of the global generator.
        blocks: Residual blocks of the global generator.
        local_blocks: Residual blocks of an enhancer.
        encoder_width: Channels of the encoder's outermost layer.
        encoder_downsamplings: Downsamplings of the encoder.
        discriminators: Scales at which images are judged (section 3.2); 2 by default in the authors' code.
        discriminator_width: Channels of a discriminator's first layer.
        discriminator_layers: Layers of stride 2 in each discriminator.
        lambda_feature: Weight of feature matching (section 3.2); 0 leaves it out.
        matching: Sum or mean of feature matching: ``sum`` adds up the scales, as equation 4 does; ``mean``
            averages them and divides by a quarter of the discriminators' layers, as the authors' code does.
        lambda_perceptual: Weight of the perceptual distance (appendix A); no effect without a network.
        perceptual: Network of the perceptual distance: ``vgg19`` on ImageNet as in the paper; ``hed``, the
            VGG16 of an edge detector, distances relative to its activations; ``none``, the paper's row
            without VGG.
        perceptual_weights: File of weights for ``vgg19``; by default timm's own.
        learning_rate: Adam's learning rate, for both players.
        betas: Adam's betas.
        epochs_constant: Epochs at the full learning rate.
        epochs_decay: Epochs of linear decay to zero after them; 0 for none.

    Examples:
        >>> labels = F.one_hot(torch.zeros(1, 40, 60, dtype=torch.long), 5).movedim(-1, 1)  # (1, 5, 40, 60)
        >>> Pix2PixHD(in_channels=5, width=8, blocks=1, discriminator_width=8).sample(labels).shape
        torch.Size([1, 3, 40, 60])
    """

    takes = "picture"
    gives = "picture"
    generator: Generator

    def __init__(
        self,
        stage: Stage = "global",
        enhancers: NonNegativeInt = 0,
        in_channels: PositiveInt = 35,
        out_channels: PositiveInt = 3,
        instance_edges: bool = True,
        features: NonNegativeInt = 0,
        clusters: PositiveInt = 10,
        kept_style: KeptStyle = "drawn",
        upsampling: Upsampling = "transposed",
        width: PositiveInt = 64,
        downsamplings: PositiveInt = 4,
        blocks: NonNegativeInt = 9,
        local_blocks: NonNegativeInt = 3,
        encoder_width: PositiveInt = 16,
        encoder_downsamplings: PositiveInt = 4,
        discriminators: PositiveInt = 3,
        discriminator_width: PositiveInt = 64,
        discriminator_layers: PositiveInt = 3,
        lambda_feature: NonNegativeFloat = 10.0,
        matching: Literal["sum", "mean"] = "sum",
        lambda_perceptual: NonNegativeFloat = 10.0,
        perceptual: Literal["vgg19", "hed", "none"] = "vgg19",
        perceptual_weights: str | None = None,
        learning_rate: PositiveFloat = 2e-4,
        betas: tuple[Decay, Decay] = (0.5, 0.999),
        epochs_constant: NonNegativeInt = 100,
        epochs_decay: NonNegativeInt = 100,
        **options: Unpack[GameOptions],
    ) -> None:
        super().__init__(**options)
        self.save_hyperparameters()
        if (stage == "global") != (enhancers == 0):
            raise UsageError(
                f"model.stage is {stage} and model.enhancers is {enhancers}; the stage global has 0 of them, "
                "the others 1 or 2."
            )
        if enhancers > 2 or max(downsamplings, encoder_downsamplings) > 16:
            raise UsageError("model.enhancers must be at most 2, and model's downsamplings at most 16.")
        if width % 2**enhancers:
            raise UsageError(f"model.width is {width}; the enhancers need a multiple of {2**enhancers}.")
        if features and clusters < 1:
            raise UsageError(f"model.clusters is {clusters}; give at least 1, or set model.features to 0.")
        self.in_channels, self.out_channels = in_channels, out_channels
        self.instance_edges, self.features, self.clusters = instance_edges, features, clusters
        self.kept_style = kept_style
        self.lambda_feature, self.matching = lambda_feature, matching
        self.lambda_perceptual, self.perceptual = lambda_perceptual, perceptual
        self.perceptual_weights = perceptual_weights
        self.learning_rate, self.betas = learning_rate, betas
        self.epochs_constant, self.epochs_decay = epochs_constant, epochs_decay
        deepest = max(downsamplings + enhancers, encoder_downsamplings if features else 0)
        self.multiple = 2**deepest  # H and W are multiples of this,
        self.least = 2 * self.multiple  # and at least twice as much
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
            upsampling,
        )
        self.generator.frozen = stage == "enhancer"
        self.discriminator = MultiscaleDiscriminator(
            condition + out_channels, discriminator_width, discriminator_layers, discriminators
        )
        self.matching_scale = 4 / (discriminator_layers + 1) / discriminators if matching == "mean" else 1.0
        self.apply(initialise)
        self._network: list[nn.Module] = []  # a plain list keeps the frozen network out of checkpoints

    # --------------------------------------------------------------------------------------- a training step

    def setup(self, stage: str) -> None:
        """Load the perceptual network, so that errors come early.

        Raises:
            UserError: It is missing.
        """
        if stage != "fit":
            return
        if self.lambda_perceptual and self.perceptual != "none":
            self.perceptual_network()

    def on_fit_start(self) -> None:
        """As the base, and say so if the frozen networks are untrained."""
        super().on_fit_start()
        if self.generator.frozen and not self.restored and self.beginning is None:
            say("The frozen global generator is untrained: model.stage enhancer needs model.init_from.")

    def training_step(self, batch: Batch, batch_idx: int) -> Terms:
        """Update the generator, then the discriminators, on one fake and the players before either update."""
        parts = [part | {"condition": self.condition(part)} for part in self.micro_batches(batch)]
        for part in parts if self.diff_augment else ():  # feature matching compares what is changed alike
            part["draws"] = draw(self.diff_augment, part["target"])
        if len(parts) == 1:  # one pass over the target serves both losses; micro-batches keep no graph
            parts[0]["real_maps"] = self.judge(parts[0], parts[0]["target"])
        return self.generator_first(parts)

    @classmethod
    def suited(cls, arguments: dict[str, Any], batch: Batch) -> dict[str, Any]:
        """Channels and instances of the data, and no more downsamplings than its size allows."""
        height, width = batch["input"].shape[-2:]
        deepest = max(n for n in range(17) if height % 2**n == 0 and width % 2**n == 0)
        deepest = min(deepest, min(height, width).bit_length() - 2)  # the networks need two pixels
        depth = {"downsamplings": deepest - arguments.get("enhancers", 0), "encoder_downsamplings": deepest}
        if min(depth.values()) < 1:
            raise UserError(
                f"Images of {height}x{width} are too small or odd for {cls.__name__}; resize them."
            )
        return arguments | {
            "in_channels": batch["input"].shape[1],
            "out_channels": batch["target"].shape[1],
            "instance_edges": "instances" in batch,
            **{key: min(arguments.get(key, 4), most) for key, most in depth.items()},
        }

    def settings_in_use(self) -> dict[str, Any]:
        """How an instance's style is chosen, if there are styles."""
        return {"kept_style": self.kept_style} if self.features else {}

    def generate(self, batch: Batch) -> Tensor:
        """The translation of ``batch["input"]``, (B, out_channels, H, W) in [-1, 1].

        With an encoder, training uses the features of ``target``. Use takes ``batch["features"]``, or else
        kept styles: drawn with torch's global RNG or the commonest, see ``kept_style``.

        Raises:
            UserError: Channels or size of the batch do not fit the networks, or instances are missing.
        """
        self.check(batch)
        x = self.condition(batch)
        if self.features:
            x = torch.cat([x, self._features(batch)], dim=1)
        fake: Tensor = self.generator(x)
        return fake

    def condition(self, batch: Batch) -> Tensor:
        """The input of both players: the label map and the instance boundary map."""
        if "condition" in batch:
            ready: Tensor = batch["condition"]
            return ready
        x: Tensor = batch["input"]
        if not self.instance_edges:
            return x
        return torch.cat([x, boundaries(batch["instances"]).to(x.dtype)], dim=1)

    def judge(self, batch: Batch, image: Tensor) -> Maps:
        """The outputs of the discriminators' layers for ``image`` as a translation of the batch's labels."""
        maps: Maps = self.discriminator(self.seen(image, self.condition(batch), draws=batch.get("draws")))
        return maps

    def discriminator_loss(self, batch: Batch, fake: Tensor) -> Terms:
        """Half of the least squares of fakes and reals, summed over the scales.

        Args:
            batch: Condition and target; ``real_maps`` are the discriminators' outputs for it, if known.
            fake: The generator's output.
        """
        real_maps = batch["real_maps"] if "real_maps" in batch else self.judge(batch, batch["target"])
        fake_maps = self.judge(batch, fake)
        # differs: the paper prints no half; it is the authors' code's
        return {"fake": 0.5 * _distance(fake_maps, 0.0), "real": 0.5 * _distance(real_maps, 1.0)}

    def generator_loss(self, batch: Batch, fake: Tensor) -> Terms:
        """Least squares summed over the scales, feature matching and the perceptual distance (equation 4)."""
        fake_maps = self.judge(batch, fake)
        terms = {"adversarial": _distance(fake_maps, 1.0)}
        if self.lambda_feature:
            with torch.no_grad():
                real_maps = batch["real_maps"] if "real_maps" in batch else self.judge(batch, batch["target"])
            matching = self.matching_scale * feature_matching(fake_maps, real_maps)
            terms["matching"] = self.lambda_feature * matching
        if self.lambda_perceptual and self.perceptual != "none":
            network, relative = self.perceptual_network(), self.perceptual == "hed"
            distance = perceptual(network, fake, batch["target"], relative)
            terms["perceptual"] = self.lambda_perceptual * distance
        return terms

    def perceptual_network(self) -> Network:
        """The frozen network of the perceptual distance, placed like the generator.

        Raises:
            UserError: Its weights are missing.
        """
        if not self._network:
            # imported late: most uses need neither
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
        optimizers = self.adam(self.learning_rate, self.betas)
        first, epochs = self.epochs_constant, self.epochs_decay
        if not epochs:
            return optimizers

        def rate(epoch: int) -> float:
            return 1.0 - min(max(0, epoch - first) / epochs, 1.0)

        return optimizers, [LambdaLR(optimizer, rate) for optimizer in optimizers]

    def may_start_anew(self, generator: Collection[str]) -> tuple[str, ...]:
        """Kept styles; after a stage with fewer enhancers, the new ones and the output, which each has."""
        known = {name.split(".")[1] for name in generator if name.startswith("enhancers.")}
        new = [f"enhancers.{i}." for i in range(len(self.generator.enhancers)) if str(i) not in known]
        return ("style", *new, *(("output.",) if new else ()))

    def discriminator_layers(self) -> list[list[nn.Parameter]]:
        """Each layer, of all scales together."""
        scales = [list(layers) for layers in self.discriminator.scales]  # type: ignore[union-attr]
        return [[p for layer in layers for p in layer.parameters()] for layers in zip(*scales, strict=True)]

    # ------------------------------------------------------------------------------------------------ styles

    def cluster_styles(self, batches: Iterable[Batch]) -> None:
        """Keep the typical features of each class: K-means centres over all instances (section 3.4).

        With ``kept_style: together``, those of whole images, see :meth:`_spread_images`. If the generator's
        weights are averaged, the average encodes and keeps them.

        Args:
            batches: Batches of training images, not augmented, with ``input``, ``target`` and, if the data
                has them, ``instances``.
        """
        with torch.no_grad(), self.averaged():
            self._cluster(batches)
            kept = self.generator
        self.generator.styles.copy_(kept.styles)  # the average takes over buffers in further training
        self.generator.style_counts.copy_(kept.style_counts)

    def _cluster(self, batches: Iterable[Batch]) -> None:
        encoder = self.generator.encoder
        if encoder is None:
            raise UserError("model.features is 0: there is no encoder whose styles could be kept.")
        from sklearn.cluster import KMeans  # takes a second

        styles, counts = self.generator.styles.zero_(), self.generator.style_counts.zero_()
        if self.kept_style == "together":
            looks = self._spread_images(encoder, batches)
            styles[:, : len(looks)] = looks.movedim(0, 1)
            counts[styles.flatten(1).any(1)] = len(looks)  # others never occurred
            return
        found: dict[int, list[Tensor]] = {}
        for batch in batches:
            classes = batch["input"].argmax(1)
            values, row = encoder.of_instances(batch["target"], self._regions(batch))
            label = torch.zeros(len(values), dtype=torch.long, device=row.device)
            label[row.flatten()] = classes.flatten()  # a region is of one class
            for number, value in zip(label.tolist(), values.float().cpu(), strict=True):
                found.setdefault(number, []).append(value)
        for number, points in found.items():
            values = torch.stack(points)
            count = min(self.clusters, len(set(map(tuple, values.tolist()))))
            fitted = KMeans(count, random_state=0, n_init=3).fit(values.numpy())
            sizes = torch.bincount(torch.from_numpy(fitted.labels_).long(), minlength=count)
            order = sizes.argsort(descending=True, stable=True)  # the commonest style is number 0
            styles[number, :count] = torch.from_numpy(fitted.cluster_centers_)[order].to(styles)
            counts[number] = count

    def _spread_images(self, encoder: FeatureEncoder, batches: Iterable[Batch]) -> Tensor:
        """Features of the classes of a few images (n, classes, features), spread evenly over all.

        All images are ordered along the first principal component of their features, and every N/n-th is
        taken: a draw of one of these is as good as a draw of one of all. A class that an image lacks has its
        mean.
        """
        found = []
        for batch in batches:
            classes = batch["input"].argmax(1)  # (B, H, W)
            values, row = encoder.of_instances(batch["target"], classes)
            one = values.new_full((len(classes), self.in_channels, self.features), torch.nan)
            image = torch.arange(len(classes), device=row.device)[:, None, None].expand_as(classes)
            one[image, classes] = values[row]
            found.append(one.float().cpu())
        images = torch.cat(found)
        images = images.where(~images.isnan(), images.nanmean(0).nan_to_num())
        centred = images.flatten(1) - images.flatten(1).mean(0)
        component = torch.linalg.svd(centred, full_matrices=False)[2][0]
        count = min(self.clusters, len(images))
        places = ((torch.arange(count) + 0.5) * len(images) / count).long()
        return images[(centred @ component).argsort()[places]].to(self.generator.styles)

    def styled(self, classes: Tensor, instances: Tensor, styles: Tensor | None = None) -> Tensor:
        """Features of kept styles at each pixel, (B, features, H, W).

        Args:
            classes: (B, H, W).
            instances: (B, H, W).
            styles: (B, H, W), the index of the style to take. Where it is -1, and everywhere by default,
                ``kept_style`` decides: one draw per instance and class with torch's global RNG, one per
                image, or the commonest.

        Raises:
            UserError: A class does not have the given style.
        """
        generator = self.generator
        counts = generator.style_counts[classes]
        if self.kept_style == "commonest":
            picks = torch.zeros_like(classes)
        else:
            # a fixed number of draws, so that an edit of one instance does not change those of the others
            batch = torch.arange(len(classes), device=classes.device)[:, None, None]
            draws = torch.rand(len(classes), self.in_channels, DRAWS).to(classes.device)
            if self.kept_style == "together":
                draws = draws[:, :1, :1].expand_as(draws)
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
        """A number per instance and class, so that regions without instances differ by class."""
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
        self, images: Tensor, seed: int = 0, instances: Tensor | None = None, styles: Tensor | None = None
    ) -> Tensor:
        """Translate label maps of any size; none depends on another.

        Args:
            images: (B, in_channels, H, W), one-hot.
            seed: Seed of the styles that are drawn.
            instances: (B, H, W) integers; without them each class is one instance.
            styles: (B, H, W), the kept style to take at each pixel, -1 where ``kept_style`` decides.

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
        # without instances the boundaries are those of the labels, as for regions that have none
        regions = classes if instances is None else instances
        chosen = torch.full_like(classes, -1) if styles is None else styles
        weight, outputs = next(self.generator.parameters()), []
        maps = (images, regions, classes, chosen)
        for parts in zip(*(torch.split(each, self.at_once) for each in maps), strict=True):
            x, window = self.padded(parts[0].to(weight))
            region, label, style = (
                self.padded(each[:, None].to(weight.device))[0][:, 0] for each in parts[1:]
            )
            batch = {"input": x, "instances": region}
            if self.features:
                features = []
                for one in zip(*(torch.split(each, 1) for each in (label, region, style)), strict=True):
                    with self.in_use(seed):  # so that draws do not depend on the others
                        features.append(self.styled(*one))
                batch["features"] = torch.cat(features).to(weight)
            with self.in_use(seed):
                outputs.append(self.generate(batch)[window])
        return torch.cat(outputs)

    def maps(self) -> tuple[str, ...]:
        """Instances, if they are part of the input or have styles."""
        return ("instances",) if self.instance_edges or self.features else ()

    def forward(self, given: Tensor, *maps: Tensor) -> Tensor:
        """Translate one label map (1, in_channels, H, W) with its instances, if it takes any."""
        batch = {"input": given}
        if maps:
            batch["instances"] = maps[0]
        if self.features:
            batch["features"] = self.styled(given.argmax(1), *maps).to(given)
        return self.generate(batch)

    def check(self, batch: Batch) -> None:
        """Refuse images whose channels or size do not fit the networks, and data without instances.

        Raises:
            UserError: Names the argument to change.
        """
        for key, wanted, name in (("input", self.in_channels, "in"), ("target", self.out_channels, "out")):
            if key in batch and batch[key].shape[1] != wanted:
                raise UserError(
                    f"The {key} has {batch[key].shape[1]} channels but model.{name}_channels is {wanted}; "
                    "set it to that number (of classes, for an input of labels)."
                )
        height, width = batch["input"].shape[-2:]
        if height % self.multiple or width % self.multiple or height < self.least or width < self.least:
            raise UserError(
                f"Images of {height}x{width} do not fit: the networks need multiples of {self.multiple}, "
                f"at least {self.least}; set data.size to such, or model.downsamplings to fewer."
            )
        if self.instance_edges and "instances" not in batch:
            raise UserError("This data has no instance maps; set model.instance_edges to false.")


def _distance(maps: Maps, target: float) -> Tensor:
    return torch.stack([least_squares(layers[-1], target) for layers in maps]).sum()
