"""Generative adversarial networks (Goodfellow et al. 2014, https://arxiv.org/abs/1406.2661).

The value of the game is ``V(D, G) = E[log D(x)] + E[log(1 - D(G(z)))]`` (equation 1): the discriminator D
ascends it, the generator G descends it (``loss: saturating``) or, as section 3 advises, ascends ``E[log
D(G(z))]`` (``nonsaturating``). Algorithm 1 gives the order of moves: ``d_steps`` (k) moves of D, each on
fresh noise and fresh data, then one of G on fresh noise. Learning rates, momentum, initialisation and dropout
stand in the released code.

Shapes: noise (B, latent_dim) becomes pictures (B, *shape); D gives logits (B, 1), so that D(x) =
sigmoid(logit).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, ClassVar, Literal, Unpack

import torch
import torch.nn.functional as F
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

from zoo.adversarial import AdversarialModule, Batch, GameOptions, Terms, chunk
from zoo.errors import UserError
from zoo.losses import bce, nonsaturating, saturating


class PaperGenerator(nn.Module):
    """Two hidden layers of rectifiers and a sigmoid, so that values lie in [0, 1].

    Args:
        latent_dim: Width of the noise.
        shape: Of one picture or point.
        hidden: Units of each hidden layer.
        scale: Weights start uniform in [-scale, scale], biases at 0.
        bounded: End with a sigmoid; False leaves the output linear, for points.
    """

    def __init__(
        self, latent_dim: int, shape: tuple[int, ...], hidden: int, scale: float, bounded: bool
    ) -> None:
        super().__init__()
        self.shape, self.bounded = shape, bounded
        self.first = nn.Linear(latent_dim, hidden)
        self.second = nn.Linear(hidden, hidden)
        self.last = nn.Linear(hidden, math.prod(shape))
        initialise(self, scale)

    def forward(self, z: Tensor) -> Tensor:
        """Noise (B, latent_dim) to (B, *shape)."""
        x = self.last(F.relu(self.second(F.relu(self.first(z)))))
        flat: Tensor = torch.sigmoid(x) if self.bounded else x
        return flat.view(-1, *self.shape)


class Maxout(nn.Module):
    """Linear layer whose units are the largest of ``pieces`` neighbouring columns (Goodfellow et al. 2013).

    Args:
        inputs: Width of the input.
        units: Width of the output.
        pieces: Columns a unit.
    """

    def __init__(self, inputs: int, units: int, pieces: int) -> None:
        super().__init__()
        self.grouped = (units, pieces)
        self.linear = nn.Linear(inputs, units * pieces)

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs) to (B, units)."""
        columns: Tensor = self.linear(x)
        return columns.view(-1, *self.grouped).max(dim=2).values


class PaperDiscriminator(nn.Module):
    """Two maxout layers under dropout.

    Args:
        shape: Of one picture or point.
        units: Units of each maxout layer.
        pieces: Columns that each unit takes the largest of.
        scale: Weights start uniform in [-scale, scale], biases at 0.
        keep_input: Share of the inputs that dropout keeps, in (0, 1].
        keep_hidden: Share of the hidden units that dropout keeps, in (0, 1].
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        units: int,
        pieces: int,
        scale: float,
        keep_input: float,
        keep_hidden: float,
    ) -> None:
        super().__init__()
        self.first = Maxout(math.prod(shape), units, pieces)
        self.second = Maxout(units, units, pieces)
        self.last = nn.Linear(units, 1)
        self.drop_input, self.drop_hidden = nn.Dropout(1 - keep_input), nn.Dropout(1 - keep_hidden)
        initialise(self, scale)

    def forward(self, x: Tensor) -> Tensor:
        """(B, *shape) to logits (B, 1)."""
        h = self.drop_hidden(self.first(self.drop_input(x.flatten(1))))
        logits: Tensor = self.last(self.drop_hidden(self.second(h)))
        return logits


class LeakyGenerator(nn.Module):
    """The generator of two much-copied programs: leaky rectifiers and a tanh, so that values lie in [-1, 1].

    Args:
        latent_dim: Width of the noise.
        shape: Of one picture or point.
        widths: Of the hidden layers.
        batch_norm: Normalise all hidden layers but the first.
        bounded: End with a tanh; False leaves the output linear, for points.
    """

    def __init__(
        self, latent_dim: int, shape: tuple[int, ...], widths: list[int], batch_norm: bool, bounded: bool
    ) -> None:
        super().__init__()
        self.shape = shape
        layers: list[nn.Module] = []
        for inputs, outputs in zip([latent_dim, *widths], widths, strict=False):
            layers.append(nn.Linear(inputs, outputs))
            if batch_norm and len(layers) > 1:
                layers.append(nn.BatchNorm1d(outputs, eps=0.8))  # the reference's slip for a momentum, kept
            layers.append(nn.LeakyReLU(0.2))
        layers.append(nn.Linear(widths[-1], math.prod(shape)))
        self.layers = nn.Sequential(*layers, *([nn.Tanh()] if bounded else []))

    def forward(self, z: Tensor) -> Tensor:
        """Noise (B, latent_dim) to (B, *shape)."""
        flat: Tensor = self.layers(z)
        return flat.view(-1, *self.shape)


class LeakyDiscriminator(nn.Module):
    """The discriminator of the same programs.

    Args:
        shape: Of one picture or point.
        widths: Of the hidden layers.
        dropout: Share of each hidden layer that is dropped.
    """

    def __init__(self, shape: tuple[int, ...], widths: list[int], dropout: float) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inputs, outputs in zip([math.prod(shape), *widths], widths, strict=False):
            layers += [nn.Linear(inputs, outputs), nn.LeakyReLU(0.2)]
            layers += [nn.Dropout(dropout)] if dropout else []
        self.layers = nn.Sequential(*layers, nn.Linear(widths[-1], 1))

    def forward(self, x: Tensor) -> Tensor:
        """(B, *shape) to logits (B, 1)."""
        logits: Tensor = self.layers(x.flatten(1))
        return logits


class GAN(AdversarialModule):
    """Generate pictures like ``batch["image"]``, or points like ``batch["point"]``, from noise.

    Args:
        shape: Of one picture (C, H, W), or (2,) for points.
        data_key: The batch's key; points are unbounded, so their generator ends linear.
        players: ``maxout`` as in the paper; ``mlp_bn`` and ``mlp``, two much-copied programs' networks with
            leaky rectifiers, with and without batch norm, of fixed widths.
        latent_dim: Width of the noise.
        noise: Distribution of the noise, of unit variance: uniform on (-sqrt 3, sqrt 3) as for MNIST, or
            Gaussian.
        hidden: Units of each hidden layer of the paper's generator.
        maxout_units: Units of each maxout layer of the paper's discriminator.
        maxout_pieces: Columns that each maxout unit takes the largest of.
        keep_input: Share of the maxout discriminator's inputs that dropout keeps, in (0, 1].
        keep_hidden: Share of its hidden units that dropout keeps, in (0, 1].
        generator_scale: The paper's generator starts with weights uniform in plus or minus this.
        discriminator_scale: The same for its discriminator.
        marginal_bias: Start the paper's generator at the mean of the training pictures: its output bias
            becomes their logit. Takes one pass through a data module's training batches; without a data
            module the bias stays 0.
        loss: The generator's: ``nonsaturating`` (end of section 3) or ``saturating`` (equation 1).
        d_steps: The discriminator's moves a turn, k of Algorithm 1; the loader's batch holds k minibatches.
        updates: ``alternating`` as in Algorithm 1, or ``simultaneous`` as in the released code: both players
            move from one pass, with the same noise and the same dropout.
        first: Who moves first where they alternate; with ``generator`` the discriminator judges the fakes
            that the generator made before its move.
        d_weight: Factor on the discriminator's loss; 1 as Algorithm 1 says, 0.5 in the released code.
        optimizer: ``sgd`` with the released code's schedules, or ``adam`` with betas (0.5, 0.999) at a
            constant rate.
        lr: Learning rate of both players; 0.1 for ``sgd`` and 0.0002 for ``adam`` when not given.
        options: Clipping, accumulation, compilation; see :class:`zoo.adversarial.GameOptions`.
    """

    schedule_interval = "turn"
    takes: ClassVar[Literal["noise", "picture"]] = "noise"

    def __init__(
        self,
        shape: tuple[int, ...] = (1, 28, 28),
        data_key: Literal["image", "point"] = "image",
        players: Literal["maxout", "mlp_bn", "mlp"] = "maxout",
        latent_dim: int = 100,
        noise: Literal["uniform", "gaussian"] = "uniform",
        hidden: int = 1200,
        maxout_units: int = 240,
        maxout_pieces: int = 5,
        keep_input: float = 0.8,
        keep_hidden: float = 0.5,
        generator_scale: float = 0.05,
        discriminator_scale: float = 0.005,
        marginal_bias: bool = True,
        loss: Literal["nonsaturating", "saturating"] = "nonsaturating",
        d_steps: int = 1,
        updates: Literal["alternating", "simultaneous"] = "alternating",
        first: Literal["discriminator", "generator"] = "discriminator",
        d_weight: float = 1.0,
        optimizer: Literal["sgd", "adam"] = "sgd",
        lr: float | None = None,
        **options: Unpack[GameOptions],
    ) -> None:
        super().__init__(**options)
        self.save_hyperparameters()
        if d_steps < 1:
            raise UserError(f"model.d_steps must be at least 1, got {d_steps}; Algorithm 1 was run with 1.")
        if d_steps > 1 and (updates == "simultaneous" or first == "generator"):
            raise UserError(
                f"model.d_steps {d_steps} needs updates: alternating and first: discriminator; set it to 1."
            )
        self.shape, self.data_key = tuple(shape), data_key
        self.latent_dim, self.noise_kind = latent_dim, noise
        self.loss, self.d_steps, self.d_weight = loss, d_steps, d_weight
        self.updates, self.first = updates, first
        self.optimizer_kind = optimizer
        self.lr = lr if lr is not None else {"sgd": 0.1, "adam": 2e-4}[optimizer]
        if self.lr <= 0:
            raise UserError(f"model.lr must be above 0, got {lr}; the paper's players learn at 0.1.")
        bounded = data_key == "image"
        self.unit_range = bounded and players == "maxout"  # the paper's pictures lie in [0, 1]
        self.marginal_bias = marginal_bias and self.unit_range
        if players == "maxout":
            self.generator = PaperGenerator(latent_dim, self.shape, hidden, generator_scale, bounded)
            self.discriminator = PaperDiscriminator(
                self.shape, maxout_units, maxout_pieces, discriminator_scale, keep_input, keep_hidden
            )
        else:
            normed = players == "mlp_bn"
            widths = [128, 256, 512, 1024] if normed else [256, 512, 1024]
            self.generator = LeakyGenerator(latent_dim, self.shape, widths, normed, bounded)
            widths = [512, 256] if normed else [1024, 512, 256]
            self.discriminator = LeakyDiscriminator(self.shape, widths, 0.0 if normed else 0.3)

    # ----------------------------------------------------------------------------------------- what is played

    def noise(self, count: int) -> Tensor:
        """Noise (count, latent_dim) of mean 0 and variance 1, from the global generator."""
        size = (count, self.latent_dim)
        if self.noise_kind == "gaussian":
            return torch.randn(size, device=self.device).to(self.dtype)
        limit = math.sqrt(3)
        return torch.rand(size, device=self.device).to(self.dtype).mul_(2 * limit).sub_(limit)

    def generate(self, batch: Batch) -> Tensor:
        """As many fakes as ``batch`` has samples, from fresh noise; pictures in [-1, 1]."""
        return self.make(self.noise(len(self.real(batch))))

    def real(self, batch: Batch) -> Tensor:
        """The batch's samples.

        Raises:
            UserError: The batch has none under ``data_key``, or of another shape.
        """
        if self.data_key not in batch:
            raise UserError(
                f"The data give {', '.join(batch)} but model.data_key is {self.data_key}; choose other data."
            )
        x: Tensor = batch[self.data_key]
        if x.shape[1:] != self.shape:
            raise UserError(
                f"The data are of shape {list(x.shape[1:])}; set model.shape to it, not {list(self.shape)}."
            )
        return x

    def make(self, z: Tensor) -> Tensor:
        """Noise (B, latent_dim) to pictures (B, *shape) in [-1, 1], or to unbounded points."""
        x: Tensor = self.generator(z)
        return x * 2 - 1 if self.unit_range else x

    def judge(self, x: Tensor) -> Tensor:
        """Pictures in [-1, 1], or points, to logits (B, 1)."""
        logits: Tensor = self.discriminator(x * 0.5 + 0.5 if self.unit_range else x)
        return logits

    def discriminator_loss(self, batch: Batch, fake: Tensor) -> Terms:
        """``real``: -mean log D(x), ``fake``: -mean log(1 - D(G(z))), each times ``d_weight``."""
        real = self.real(batch)
        logits = self.judge(torch.cat([real, fake]))  # one pass: nothing in D mixes samples
        return self.verdict(logits[: len(real)], logits[len(real) :])

    def verdict(self, real_logits: Tensor, fake_logits: Tensor) -> Terms:
        """The discriminator's terms from its logits."""
        self._logits = (real_logits.detach(), fake_logits.detach())
        return {"real": self.d_weight * bce(real_logits, 1.0), "fake": self.d_weight * bce(fake_logits, 0.0)}

    def generator_loss(self, batch: Batch, fake: Tensor) -> Terms:
        """``adversarial``: the chosen loss, through D with its dropout active as in the released code."""
        loss = nonsaturating if self.loss == "nonsaturating" else saturating
        return {"adversarial": loss(self.judge(fake))}

    # -------------------------------------------------------------------------------------------------- turns

    def training_step(self, batch: Batch, batch_idx: int) -> Terms:
        """One turn of Algorithm 1, or of the order that was chosen."""
        if self.updates == "simultaneous" or self.first == "generator":
            terms = self._generator_first(self.micro_batches(batch))
        else:
            terms = {}
            minibatches = chunk(batch, self.d_steps) if self.d_steps > 1 else [batch]
            for minibatch in minibatches:
                parts = self.micro_batches(minibatch)
                terms |= self.discriminator_step(parts)
            terms |= self.generator_step(parts)
        if self.is_logged_step:
            real, fake = (logits.sigmoid().mean() for logits in self._logits)
            self.log_dict({"train/d_of_real": real, "train/d_of_fake": fake})
        return terms

    def _generator_first(self, parts: list[Batch]) -> Terms:
        """The generator moves, then the discriminator judges the fakes from before that move.

        The discriminator's gradient does not depend on the generator's weights once the fakes are made, so
        this is the simultaneous move as well, if its dropout is the one through which the generator's
        gradient came.
        """
        moves: list[Callable[[], Terms]] = []

        def making(part: Batch) -> Callable[[], Terms]:
            def evaluate() -> Terms:
                fake = self.generate(part)
                seed = int(torch.randint(2**62, ())) if self.updates == "simultaneous" else None
                moves.append(judging(part, fake.detach(), seed))
                with self._drawing(seed):
                    return self.generator_loss(part, fake)

            return evaluate

        def judging(part: Batch, fake: Tensor, seed: int | None) -> Callable[[], Terms]:
            def evaluate() -> Terms:
                if seed is None:
                    return self.discriminator_loss(part, fake)
                real_logits = self.judge(self.real(part))
                with self._drawing(seed):
                    return self.verdict(real_logits, self.judge(fake))

            return evaluate

        terms = self.update("generator", *(making(part) for part in parts))
        return terms | self.update("discriminator", *moves)

    def _drawing(self, seed: int | None) -> AbstractContextManager[None]:
        """Within, the global generator starts at ``seed``; afterwards it goes on as if nothing was drawn."""
        return nullcontext() if seed is None else self._seeded(seed)

    @contextmanager
    def _seeded(self, seed: int) -> Iterator[None]:
        with torch.random.fork_rng([self.device] if self.device.type == "cuda" else []):
            torch.manual_seed(seed)
            yield

    # ----------------------------------------------------------------------------------------------- settings

    def setup(self, stage: str) -> None:
        """Start the generator at the training pictures' mean; a resumed run's weights replace this."""
        data = self.trainer.datamodule  # type: ignore[attr-defined]
        if stage != "fit" or not self.marginal_bias or data is None:
            return
        total, count = torch.zeros(self.shape, dtype=torch.float64), 0
        for batch in data.train_dataloader():
            images = self.real(batch)
            total += images.sum(dim=0, dtype=torch.float64).cpu()
            count += len(images)
        assert isinstance(self.generator, PaperGenerator)
        if count:  # 1e-4: far below a step of 8 bit, yet the sigmoid still passes a gradient
            mean = total.div(count).add(1).div(2).clamp(1e-4, 1 - 1e-4)
            with torch.no_grad():
                self.generator.last.bias.copy_(mean.logit().flatten())

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """SGD whose rate is divided by 1.000004 after each turn, down to 1e-6; or Adam."""
        players = (self.generator, self.discriminator)
        if self.optimizer_kind == "adam":
            return [torch.optim.Adam(p.parameters(), self.lr, (0.5, 0.999), fused=True) for p in players]
        # differs: the released heavy ball adds the step to the momentum buffer, torch's SGD the gradient;
        # they part only as the learning rate changes, by a factor of 1.000004 an update
        optimizers = [torch.optim.SGD(p.parameters(), self.lr, self.momentum(0), fused=True) for p in players]
        return optimizers, [LambdaLR(optimizer, self._decay) for optimizer in optimizers]

    def _decay(self, turns: int) -> float:
        return max(1.000004**-turns, 1e-6 / self.lr)

    @staticmethod
    def momentum(epoch: int) -> float:
        """Momentum in the epoch (from 0): 0.5 in the first, linear to 0.7 in the 250th, then constant."""
        return 0.5 + 0.2 * min(epoch / 249, 1.0)

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Bring momentum to this epoch, at each batch so that it holds wherever a run is resumed."""
        super().on_train_batch_start(batch, batch_idx)
        if self.optimizer_kind == "sgd":
            momentum = self.momentum(self.current_epoch)
            for optimizer in self.trainer.optimizers:
                for group in optimizer.param_groups:
                    group["momentum"] = momentum

    # ---------------------------------------------------------------------------------------------------- use

    def preview(self, batch: Batch) -> dict[str, Tensor]:
        """Real samples beside fakes."""
        return {"real": self.real(batch), "fake": self.generate(batch)}

    @torch.no_grad()
    def sample(self, n: int, seed: int = 0) -> Tensor:
        """Draw ``n`` fakes (n, *shape), pictures in [-1, 1] or points; the same seed gives the same."""
        was_training = self.training
        self.eval()
        try:
            with self._seeded(seed):
                return self.make(self.noise(n))
        finally:
            self.train(was_training)


def initialise(network: nn.Module, scale: float) -> None:
    """Weights uniform in [-scale, scale], biases 0."""
    for module in network.modules():
        if isinstance(module, nn.Linear):
            nn.init.uniform_(module.weight, -scale, scale)
            nn.init.zeros_(module.bias)


def convert_reference(
    state: dict[str, Tensor],
) -> tuple[Literal["generator", "discriminator"], dict[str, Any], dict[str, Tensor]]:
    """Recognise a network of eriklindernoren/PyTorch-GAN (``mlp_bn``) or black0017/3D-GAN-pytorch (``mlp``).

    Both give D as a probability, here its logit. Pictures are taken to be square, grey or else in three
    colours.

    Returns:
        Which player it is, the arguments of :class:`GAN` that build it, and its weights by this file's names.

    Raises:
        UserError: The names are those of neither program.
    """
    linears = [key for key in state if key.endswith(".weight") and state[key].ndim == 2]
    if "model.0.weight" in state:
        players, names = "mlp_bn", {key: key.replace("model.", "layers.", 1) for key in state}
    elif "out.0.weight" in state:
        stride = (
            3 if state["out.0.weight"].shape[0] == 1 else 2
        )  # its discriminator has dropout between layers
        players, names = "mlp", {}
        for place, key in enumerate(linears):
            for kind in ("weight", "bias"):
                names[key.removesuffix("weight") + kind] = f"layers.{place * stride}.{kind}"
    else:
        raise UserError(
            f"The weights start with {next(iter(state), 'nothing')}, which names no network that GAN can "
            "convert; give those of PyTorch-GAN's implementations/gan or of Vanilla_GAN.py."
        )
    first, last = state[linears[0]], state[linears[-1]]
    is_generator = last.shape[0] != 1
    pixels = last.shape[0] if is_generator else first.shape[1]
    channels = 1 if math.isqrt(pixels) ** 2 == pixels else 3
    side = math.isqrt(pixels // channels)
    if channels * side * side != pixels:
        raise UserError(
            f"The weights are for {pixels} values a picture, which is no square grey or RGB picture."
        )
    arguments: dict[str, Any] = {"players": players, "shape": [channels, side, side]}
    if is_generator:
        arguments["latent_dim"] = first.shape[1]
    return (
        "generator" if is_generator else "discriminator",
        arguments,
        {names[key]: value for key, value in state.items()},
    )
