"""Generative adversarial networks (Goodfellow et al. 2014, https://arxiv.org/abs/1406.2661).

The value function is ``V(D, G) = E[log D(x)] + E[log(1 - D(G(z)))]`` (equation 1): the discriminator D
ascends it, the generator G descends it (``loss: saturating``) or, as section 3 advises, ascends ``E[log
D(G(z))]`` (``nonsaturating``). Algorithm 1 gives the order of updates: ``d_steps`` (k) updates of D, each on
fresh noise and fresh data, then one of G on fresh noise. Learning rates, momentum, initialisation and dropout
are those of the released code.

Shapes: noise (B, latent_dim) becomes images (B, *shape); D returns logits (B, 1), so that D(x) =
sigmoid(logit).
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any, Literal, Unpack

import torch
import torch.nn.functional as F
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

from zoo.adversarial import AdversarialModule, Batch, GameOptions, Terms, chunk, trained
from zoo.bounds import NonNegativeFloat, PositiveFloat, PositiveInt, Share
from zoo.errors import UsageError, UserError
from zoo.losses import bce, nonsaturating, saturating


class PaperGenerator(nn.Module):
    """Two hidden layers with ReLU and a sigmoid, so that values lie in [0, 1].

    Args:
        latent_dim: Width of the noise.
        shape: Shape of one image or point.
        hidden: Units of each hidden layer.
        scale: Bound of the uniform initialisation: weights in [-scale, scale], biases 0.
        bounded: Whether to end with a sigmoid; False leaves the output linear, for points.
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
    """Linear layer whose units are the maximum of ``pieces`` neighbouring columns (Goodfellow et al. 2013).

    Args:
        inputs: Width of the input.
        units: Width of the output.
        pieces: Columns per unit.
    """

    def __init__(self, inputs: int, units: int, pieces: int) -> None:
        super().__init__()
        self.grouped = (units, pieces)
        self.linear = nn.Linear(inputs, units * pieces)

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs) to (B, units)."""
        columns: Tensor = self.linear(x)  # (B, units * pieces)
        return columns.view(-1, *self.grouped).max(dim=2).values


class PaperDiscriminator(nn.Module):
    """Two maxout layers with dropout.

    Args:
        shape: Shape of one image or point.
        units: Units of each maxout layer.
        pieces: Columns per maxout unit.
        scale: Bound of the uniform initialisation: weights in [-scale, scale], biases 0.
        keep_input: Probability that dropout keeps an input, in (0, 1].
        keep_hidden: Probability that dropout keeps a hidden unit, in (0, 1].
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


def initialise(network: nn.Module, scale: float) -> None:
    """Draw weights uniform in [-scale, scale]; set biases to 0."""
    for module in network.modules():
        if isinstance(module, nn.Linear):
            nn.init.uniform_(module.weight, -scale, scale)
            nn.init.zeros_(module.bias)


class GAN(AdversarialModule):
    """Generate images like ``batch["image"]``, or points like ``batch["point"]``, from noise.

    Args:
        shape: Shape of one image (C, H, W), or (2,) for points.
        data_key: The batch's key; points are unbounded, so their generator ends linear.
        players: ``maxout`` as in the paper; ``mlp_bn`` and ``mlp``, the networks of two much-copied programs
            with leaky ReLU, with and without batch norm, of fixed widths (:mod:`zoo.references.gan`).
        latent_dim: Width of the noise.
        noise: Distribution of the noise, of unit variance: uniform on (-sqrt 3, sqrt 3) as for MNIST, or
            Gaussian.
        hidden: Units of each hidden layer of the paper's generator.
        maxout_units: Units of each maxout layer of the paper's discriminator.
        maxout_pieces: Columns per maxout unit.
        keep_input: Probability that dropout keeps an input of the maxout discriminator, in (0, 1].
        keep_hidden: Probability that it keeps a hidden unit, in (0, 1].
        generator_scale: Bound of the uniform initialisation of the paper's generator.
        discriminator_scale: Bound of the uniform initialisation of the paper's discriminator.
        marginal_bias: Whether to start the paper's generator at the mean of the training images: its output
            bias becomes their logit. Takes one pass through a data module's training batches; without a data
            module the bias stays 0, and ``init_from`` gives its own.
        loss: The generator's loss: ``nonsaturating`` (end of section 3) or ``saturating`` (equation 1).
        d_steps: Updates of the discriminator per step, k of Algorithm 1; a batch holds k minibatches.
        updates: ``alternating`` as in Algorithm 1, or ``simultaneous`` as in the released code: both players
            are updated from one forward pass, with the same noise and the same dropout.
        first: The player that is updated first if they alternate; with ``generator`` the discriminator sees
            the fakes that were generated before the generator's update.
        d_weight: Factor on the discriminator's loss; 1 as Algorithm 1 says, 0.5 in the released code.
        optimizer: ``sgd`` with the released code's schedules, or ``adam`` with betas (0.5, 0.999) at a
            constant rate.
        lr: Learning rate of both players; by default 0.1 for ``sgd`` and 0.0002 for ``adam``.
        options: Clipping, accumulation, compilation; see :class:`zoo.adversarial.GameOptions`.

    Examples:
        >>> GAN(shape=(1, 8, 8), hidden=16).sample(4, seed=1).shape
        torch.Size([4, 1, 8, 8])
    """

    schedule_interval = "step"
    takes = "noise"
    gives = "picture"

    def __init__(
        self,
        shape: tuple[PositiveInt, ...] = (1, 28, 28),
        data_key: Literal["image", "point"] = "image",
        players: Literal["maxout", "mlp_bn", "mlp"] = "maxout",
        latent_dim: PositiveInt = 100,
        noise: Literal["uniform", "gaussian"] = "uniform",
        hidden: PositiveInt = 1200,
        maxout_units: PositiveInt = 240,
        maxout_pieces: PositiveInt = 5,
        keep_input: Share = 0.8,
        keep_hidden: Share = 0.5,
        generator_scale: NonNegativeFloat = 0.05,
        discriminator_scale: NonNegativeFloat = 0.005,
        marginal_bias: bool = True,
        loss: Literal["nonsaturating", "saturating"] = "nonsaturating",
        d_steps: PositiveInt = 1,
        updates: Literal["alternating", "simultaneous"] = "alternating",
        first: Literal["discriminator", "generator"] = "discriminator",
        d_weight: NonNegativeFloat = 1.0,
        optimizer: Literal["sgd", "adam"] = "sgd",
        lr: PositiveFloat | None = None,
        **options: Unpack[GameOptions],
    ) -> None:
        super().__init__(**options)
        self.save_hyperparameters()
        if d_steps < 1:
            raise UsageError(f"model.d_steps must be at least 1, got {d_steps}; Algorithm 1 was run with 1.")
        if d_steps > 1 and (updates == "simultaneous" or first == "generator"):
            raise UsageError(
                f"model.d_steps {d_steps} needs updates: alternating and first: discriminator; set it to 1."
            )
        self.shape, self.data_key = tuple(shape), data_key
        self.gives = "picture" if len(self.shape) == 3 else "points"
        self.latent_dim, self.noise_kind = latent_dim, noise
        self.loss, self.d_steps, self.d_weight = loss, d_steps, d_weight
        self.updates, self.first, self.optimizer_kind = updates, first, optimizer
        self.lr = lr if lr is not None else {"sgd": 0.1, "adam": 2e-4}[optimizer]
        if self.lr <= 0:
            raise UsageError(f"model.lr must be above 0, got {lr}; the paper's players learn at 0.1.")
        bounded = data_key == "image"
        self.unit_range = bounded and players == "maxout"  # the paper's images lie in [0, 1]
        self.marginal_bias = marginal_bias and self.unit_range
        if players == "maxout":
            self.generator = PaperGenerator(latent_dim, self.shape, hidden, generator_scale, bounded)
            self.discriminator = PaperDiscriminator(
                self.shape, maxout_units, maxout_pieces, discriminator_scale, keep_input, keep_hidden
            )
        else:
            from zoo.references import gan as reference

            self.generator, self.discriminator = reference.players(players, latent_dim, self.shape, bounded)

    # ------------------------------------------------------------------------------- forward pass and losses

    def noise(self, count: int) -> Tensor:
        """Noise (count, latent_dim) of mean 0 and variance 1, from torch's global RNG."""
        size = (count, self.latent_dim)
        if self.noise_kind == "gaussian":
            return torch.randn(size, device=self.device).to(self.dtype)
        limit = math.sqrt(3)
        return torch.rand(size, device=self.device).to(self.dtype).mul_(2 * limit).sub_(limit)

    def generate(self, batch: Batch) -> Tensor:
        """As many fakes as ``batch`` has samples, from fresh noise; images in [-1, 1]."""
        return self.make(self.noise(len(self.real(batch))))

    @classmethod
    def suited(cls, arguments: dict[str, Any], batch: Batch) -> dict[str, Any]:
        """The shape of the data."""
        return arguments | {"shape": list(batch[arguments.get("data_key", "image")].shape[1:])}

    def check(self, batch: Batch) -> None:
        """Refuse data of another shape."""
        self.real(batch)

    def real(self, batch: Batch) -> Tensor:
        """The batch's samples (B, *shape).

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
        """Noise (B, latent_dim) to images (B, *shape) in [-1, 1], or to unbounded points."""
        x: Tensor = self.generator(z)
        return x * 2 - 1 if self.unit_range else x

    def judge(self, x: Tensor) -> Tensor:
        """Images in [-1, 1], or points, to logits (B, 1)."""
        x = self.seen(x)
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

    # --------------------------------------------------------------------------------------- a training step

    def training_step(self, batch: Batch, batch_idx: int) -> Terms:
        """One iteration of Algorithm 1, or of the chosen order of updates."""
        if self.updates == "simultaneous":
            terms = self._simultaneous(self.micro_batches(batch))
        elif self.first == "generator":
            terms = self.generator_first(self.micro_batches(batch))
        else:
            terms = {}
            for minibatch in chunk(batch, self.d_steps) if self.d_steps > 1 else [batch]:
                parts = self.micro_batches(minibatch)
                terms |= self.discriminator_step(parts)
            terms |= self.generator_step(parts)
        if self.is_logged_step:
            real, fake = (logits.sigmoid().mean() for logits in self._logits)
            self.log_dict({"train/d_of_real": real, "train/d_of_fake": fake})
        return terms

    def _simultaneous(self, parts: list[Batch]) -> Terms:
        """Update both players from one forward pass, as the released code does.

        The fakes do not change with the generator's update, so the discriminator's gradient is that of a
        joint update, provided that its dropout is the one through which the generator's gradient came.
        """
        passes: list[tuple[Tensor, int]] = []  # the fakes, and the seed of the dropout on them

        def generator_terms(part: Batch) -> Terms:
            fake, seed = self.generate(part), int(torch.randint(2**62, ()))
            passes.append((fake.detach(), seed))
            with self.seeded(seed):
                return self.generator_loss(part, fake)

        def discriminator_terms(part: Batch, fake: Tensor, seed: int) -> Terms:
            real_logits = self.judge(self.real(part))
            with self.seeded(seed):
                return self.verdict(real_logits, self.judge(fake))

        terms = self.update("generator", *(partial(generator_terms, part) for part in parts))
        judged = (partial(discriminator_terms, part, *x) for part, x in zip(parts, passes, strict=True))
        return terms | self.update("discriminator", *judged)

    # ---------------------------------------------------------------------------------------------- settings

    def setup(self, stage: str) -> None:
        """Start the generator at the mean of the training images; a resumed run's weights replace this."""
        data = self.trainer.datamodule  # type: ignore[attr-defined]
        if stage != "fit" or not self.marginal_bias or self.init_from or data is None:
            return
        total, count = torch.zeros(self.shape, dtype=torch.float64), 0
        for batch in data.train_dataloader():
            images = self.real(batch)
            total += images.sum(dim=0, dtype=torch.float64).cpu()
            count += len(images)
        assert isinstance(self.generator, PaperGenerator)
        if count:
            # differs: the released code clips at 1e-7, where the sigmoid passes a gradient of 1e-7; 1e-4 is
            # far below a step of 8 bit, too
            mean = total.div(count).add(1).div(2).clamp(1e-4, 1 - 1e-4)
            with torch.no_grad():
                self.generator.last.bias.copy_(mean.logit().flatten())

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """SGD whose rate is divided by 1.000004 after each step, down to 1e-6; or Adam."""
        if self.optimizer_kind == "adam":
            return self.adam(self.lr, (0.5, 0.999))
        # differs: the released heavy ball adds the step to the momentum buffer, torch's SGD the gradient;
        # they part only as the learning rate changes, by a factor of 1.000004 per update
        players = (self.generator, self.discriminator)
        optimizers = [torch.optim.SGD(trained(p), self.lr, self.momentum(0), fused=True) for p in players]
        return optimizers, [LambdaLR(optimizer, self._decay) for optimizer in optimizers]

    def _decay(self, steps: int) -> float:
        # differs: with k > 1 once per step for both players, not once per update of D
        return max(1.000004**-steps, 1e-6 / self.lr)

    @staticmethod
    def momentum(epoch: int) -> float:
        """Momentum in the epoch (from 0): 0.5 in the first, linear to 0.7 in the 250th, then constant."""
        return 0.5 + 0.2 * min(epoch / 249, 1.0)

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Set this epoch's momentum, at each batch so that it holds wherever a run is resumed."""
        super().on_train_batch_start(batch, batch_idx)
        if self.optimizer_kind == "sgd":
            for group in (group for optimizer in self.trainer.optimizers for group in optimizer.param_groups):
                group["momentum"] = self.momentum(self.current_epoch)

    # ---------------------------------------------------------------------------------------------------- use

    def preview(self, batch: Batch) -> dict[str, Tensor]:
        """Columns of a sample grid: real samples and fakes."""
        return {"real": self.real(batch), "fake": self.generate(batch)}

    def sample(self, n: int, seed: int = 0) -> Tensor:
        """Draw ``n`` fakes (n, *shape), images in [-1, 1] or points; the same seed gives the same."""
        with self.in_use(seed):
            return self.forward(n)

    def forward(self, given: int, *maps: Tensor) -> Tensor:
        """As many fakes as ``given`` says, from fresh noise."""
        return self.make(self.noise(given))
