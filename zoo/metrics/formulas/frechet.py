"""Frechet distance between two sets of features, each modelled as a Gaussian (Heusel et al. 2017, section 1).

With means m, n and covariances S, T it is ``|m - n|^2 + tr S + tr T - 2 tr sqrt(S T)`` (Dowson and Landau
1982). All computations are in float64: in float32 the root of a rank-deficient product is off by a percent.
"""

from __future__ import annotations

import math

import scipy.linalg
import torch
from scipy.linalg import lapack
from torch import Tensor

from zoo.errors import UserError

PAPERS_COUNT, PAPERS_DIMENSION = 50_000, 2_048


def checked(features: Tensor, name: str, dimension: int | None = None) -> Tensor:
    """The features, detached, after checking that they are (N, ``dimension``) and finite.

    Args:
        features: (N, d) of any real dtype.
        name: Name of the features in error messages.
        dimension: Required d; any if not given.

    Raises:
        UserError: Wrong shape, or values that are not finite.
    """
    if features.ndim != 2 or (dimension is not None and features.shape[1] != dimension):
        wanted = "d" if dimension is None else dimension
        raise UserError(
            f"{name} have shape {tuple(features.shape)}, not (N, {wanted}); give one row of numbers per "
            f"image, both sets from the same network."
        )
    # in chunks, because the check makes copies
    bad = torch.cat([~torch.isfinite(part).all(1) for part in torch.split(features, 10_000)])
    if bad.any():
        raise UserError(
            f"{name} have NaN or infinity in {int(bad.sum())} of {len(bad)} rows, the first at row "
            f"{int(bad.nonzero()[0])}; fix the images or the network that they come from."
        )
    return features.detach()


class Moments:
    """Count, mean and covariance of features that arrive in batches, on the CPU, in constant memory.

    Up to ``dimension`` rows are stored as they are, because the distance of so few is computed faster and
    more exactly from the rows. More rows are folded into mean and scatter by the pairwise update of Chan,
    Golub and LeVeque (1983), which is stable if means are large compared with deviations.

    Args:
        dimension: Length of a feature.
    """

    def __init__(self, dimension: int) -> None:
        self.dimension = dimension
        self.count = 0  # rows seen
        self._rows: list[Tensor] = []
        self._mean: Tensor | None = None
        self._scatter: Tensor | None = None  # sum of outer products of deviations; None while rows are kept

    @classmethod
    def of(cls, features: Tensor) -> Moments:
        """Moments of all features (N, d) at once."""
        new = cls(features.shape[1])
        new.update(features)
        return new

    @property
    def mean(self) -> Tensor:
        """Mean (d) in float64; zero if no rows were seen."""
        if self._mean is not None:
            return self._mean
        rows = self._all_rows()
        return rows.mean(0) if len(rows) else rows.new_zeros(self.dimension)

    @property
    def covariance(self) -> Tensor:
        """Covariance (d, d) in float64, divisor n - 1.

        Raises:
            UserError: Fewer than two rows were seen.
        """
        if self._scatter is not None:
            return self._scatter / (self.count - 1)
        root = self.root
        assert root is not None
        return root.T @ root

    @property
    def root(self) -> Tensor | None:
        """A (n, d) such that ``A^T A`` is the covariance, while the rows are stored; else None.

        Raises:
            UserError: Fewer than two rows were seen.
        """
        if self._scatter is not None:
            return None
        if self.count < 2:
            raise UserError(f"A covariance needs at least 2 images and there are {self.count}; give more.")
        rows = self._all_rows()
        return (rows - rows.mean(0)) / math.sqrt(self.count - 1)

    def update(self, features: Tensor) -> None:
        """Add features (N, d).

        Raises:
            UserError: Wrong dimension, or values that are not finite; nothing is added.
        """
        for part in torch.split(checked(features, "Features", self.dimension), 1_024):
            if len(part):
                self._add(part.cpu().to(torch.float64, copy=True))

    def merge(self, other: Moments) -> None:
        """Add everything that ``other`` has seen, as if its rows had been added here; ``other`` is unchanged.

        Raises:
            UserError: Different dimensions.
        """
        _require_same_dimension(self, other)
        if other._scatter is None:
            for part in list(other._rows):
                self._add(part.clone())
        elif self._scatter is None:
            mine, self._rows = self._rows, []
            self.count, self._mean, self._scatter = other.count, other.mean.clone(), other._scatter.clone()
            for part in mine:
                self._add(part)
        else:
            self._scatter += other._scatter
            bridge = self._shift(other.count, other.mean)
            self._scatter.addr_(bridge, bridge)

    def state(self) -> dict[str, Tensor]:
        """The complete state as tensors for safetensors."""
        kept = {"rows": self._all_rows()} if self._scatter is None else {"scatter": self._scatter}
        state = {"count": torch.tensor(self.count), "mean": self.mean, **kept}
        return {name: value.clone() for name, value in state.items()}

    @classmethod
    def from_state(cls, state: dict[str, Tensor]) -> Moments:
        """Restore moments from :meth:`state`.

        Raises:
            UserError: The tensors are not such a state.
        """
        kept = next((name for name in ("rows", "scatter") if name in state), None)
        if kept is None or set(state) != {"count", "mean", kept}:
            raise UserError(
                f"Statistics of features hold count, mean and rows or scatter, not "
                f"{', '.join(sorted(state)) or 'nothing'}; delete the file to compute it again."
            )
        count, d = int(state["count"]), state["mean"].numel()
        wanted = {"mean": (d,), kept: (count, d) if kept == "rows" else (d, d)}
        if any(state[k].shape != s or not torch.isfinite(state[k]).all() for k, s in wanted.items()) or (
            (kept == "rows") != (count <= d)
        ):
            raise UserError(
                f"Statistics of {count} rows of {d} features are damaged: shapes do not match or values "
                f"are not finite; delete the file to compute it again."
            )
        new = cls(d)
        new.count = count
        mean, held = (state[name].to(torch.float64, copy=True) for name in wanted)
        if kept == "scatter":
            new._mean, new._scatter = mean, held
        elif count:
            new._rows = [held]
        return new

    def _add(self, part: Tensor) -> None:
        if self._scatter is not None:
            mean = part.mean(0)
            bridge = self._shift(len(part), mean)
            deviations = torch.cat([part - mean, bridge.unsqueeze(0)])
            self._scatter.addmm_(deviations.T, deviations)
            return
        self._rows.append(part)
        self.count += len(part)
        if self.count > self.dimension:
            rows, self._rows = self._all_rows(), []
            self._mean = rows.mean(0)
            deviations = rows - self._mean
            self._scatter = deviations.T @ deviations

    def _shift(self, count: int, mean: Tensor) -> Tensor:
        """Update count and mean by ``count`` rows of mean ``mean``; return the row to add to the scatter."""
        assert self._mean is not None
        total = self.count + count
        delta = mean - self._mean
        bridge = delta * math.sqrt(self.count * count / total)
        self._mean += delta * (count / total)
        self.count = total
        return bridge

    def _all_rows(self) -> Tensor:
        if not self._rows:
            return torch.zeros(0, self.dimension, dtype=torch.float64)
        self._rows = [torch.cat(self._rows)]
        return self._rows[0]


def frechet_distance(a: Moments, b: Moments) -> float:
    """Frechet distance between two Gaussians, never below 0.

    With roots A of S and B of T (``A^T A = S``), ``tr sqrt(S T)`` is the sum of the singular values of
    ``A B^T``. Stored rows are such a root, and a small one; the root of a full covariance is its Cholesky
    factor. For two full covariances the eigenvalues of ``A T A^T``, which are those of S T, take a third of
    the time.

    Raises:
        UserError: Fewer than two rows in one of them, or different dimensions.
        ArithmeticError: The result is below 0 by more than rounding.
    """
    _require_same_dimension(a, b)
    roots = [m.root for m in (a, b)]
    if all(root is None for root in roots):
        s, t = a.covariance, b.covariance
        scale, middle = float(s.trace() + t.trace()), _trace_of_root(s, t)
    else:
        p, q = (_root(m.covariance) if root is None else root for m, root in zip((a, b), roots, strict=True))
        scale = float(p.square().sum() + q.square().sum())
        middle = float(scipy.linalg.svdvals((p @ q.T).numpy(), check_finite=False).sum())
    value = float((a.mean - b.mean).square().sum()) + scale - 2 * middle
    # the root of a singular covariance amplifies rounding; the comparison is also false for NaN
    if not value >= -a.dimension * math.sqrt(torch.finfo(torch.float64).eps) * scale:
        raise ArithmeticError(f"the Frechet distance came out as {value} where variances sum to {scale}")
    return max(value, 0.0)


def small_count_warning(count: int, dimension: int) -> str | None:
    """Warning that ``count`` rows are too few for a Frechet distance of ``dimension`` features, or None.

    The distance of finite sets is too large, by an amount that grows with dimension / count and depends on
    the model (Chong and Forsyth 2020). Papers use 50,000 images for the 2,048 features of Inception; the same
    ratio is advised for other dimensions.
    """
    advised = math.ceil(PAPERS_COUNT * dimension / PAPERS_DIMENSION)
    if count >= advised:
        return None
    reason = "so the distance is too large by an amount that differs between models"
    if count <= dimension:
        reason = f"so the covariance has rank {max(count - 1, 0):,} at most and the distance is far too large"
    return (
        f"{count:,} images are few for {dimension:,} features (advised: {advised:,}), {reason}; compare only "
        f"with scores of as many images."
    )


def _require_same_dimension(a: Moments, b: Moments) -> None:
    if a.dimension != b.dimension:
        raise UserError(
            f"Features of dimensions {a.dimension} and {b.dimension} can be neither compared nor merged; use "
            "one network for both."
        )


def _sum_of_roots(eigenvalues: Tensor) -> float:
    return float(eigenvalues.clamp_min(0).sqrt().sum())  # negative by rounding only


def _trace_of_root(s: Tensor, t: Tensor) -> float:
    """Trace of the root of ``s t`` for two positive semi-definite matrices."""
    # a feature that is constant in one set adds nothing, and would make the Cholesky factorisation fail
    live = (s.diagonal() > 0) & (t.diagonal() > 0)
    if not live.any():
        return 0.0
    if not live.all():
        s, t = s[live][:, live], t[live][:, live]
    # dsygst needs half the operations of two general products; torch's eigenvalues are faster than scipy's;
    # .T gives LAPACK's order without a copy
    factor, failed = lapack.dpotrf(t.numpy().T, lower=1)
    if failed:  # t is singular
        root = _root(t)
        return _sum_of_roots(torch.linalg.eigvalsh(root @ s @ root.T))
    product, _ = lapack.dsygst(s.numpy().T, factor, itype=2, lower=1)  # its lower triangle
    return _sum_of_roots(torch.linalg.eigvalsh(torch.from_numpy(product), UPLO="L"))


def _root(covariance: Tensor) -> Tensor:
    """A such that ``A^T A`` is the covariance."""
    root: Tensor
    root, failed = torch.linalg.cholesky_ex(covariance, upper=True)
    if failed:  # singular
        values, vectors = torch.linalg.eigh(covariance)
        root = (vectors * values.clamp_min(0).sqrt()).T
    return root
