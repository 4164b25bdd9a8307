"""Scores of one set of images against another, by protocol: features are collected once, then compared.

Frechet distances and inception scores store moments and sums only, whatever the number of images; kernel
distances and precision, recall, density, coverage store every feature. Statistics of real images are cached
in files named after a hash of all that they depend on: the images, the network, and what was collected.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable, Iterable, Mapping
from statistics import fmean, stdev
from typing import Any

import safetensors.torch
import torch
import torch.distributed
from torch import Tensor

from zoo.errors import UserError
from zoo.features.network import FeatureNetwork
from zoo.files.checkpoints import read_tensors
from zoo.files.writing import cache_folder, write_bytes
from zoo.metrics.formulas.artefacts import compare
from zoo.metrics.formulas.frechet import Moments, frechet_distance, small_count_warning
from zoo.metrics.formulas.inception_score import ClassScore
from zoo.metrics.formulas.kernel import kernel_distance, whole_kernel_distance
from zoo.metrics.formulas.prdc import prdc
from zoo.metrics.scoring.artefacts import rows as artefact_rows
from zoo.metrics.scoring.artefacts import traced, unscored
from zoo.metrics.scoring.protocols import IS_SPLITS, KID_SIZE, KID_SUBSETS, NEAREST, Metric, Protocol, Resize
from zoo.metrics.scoring.report import Row
from zoo.metrics.scoring.subjects import Pictures, share
from zoo.seeds import mix

FORMAT = 1  # of the cached statistics
AT_ONCE = 32  # images per forward pass of a network
ROWS: frozenset[Metric] = frozenset({"kid", "prdc"})  # need every feature
Progress = Callable[[Iterable[Any], int], Iterable[Any]]


class Statistics:
    """Statistics of one set's features, as the metrics need them.

    Args:
        network: Feature network.
        metrics: Metrics to collect for.
        count: Number of images.
    """

    def __init__(self, network: FeatureNetwork, metrics: frozenset[Metric], count: int) -> None:
        self.network, self.metrics, self.count = network, metrics, count
        self.moments = Moments(network.dimension) if "fd" in metrics else None
        self.classes: ClassScore | None = None
        self._rows: list[Tensor] = []
        self._indices: list[Tensor] = []

    @property
    def rows(self) -> Tensor:
        """All features (count, dimension) in the order of the images."""
        order = torch.cat(self._indices).argsort()
        return torch.cat(self._rows)[order]

    def update(self, indices: Tensor, images: Tensor) -> None:
        """Add images (N, C, H, W) in uint8 with their indices (N) in the set."""
        for where, part in zip(torch.split(indices, AT_ONCE), torch.split(images, AT_ONCE), strict=True):
            # float32, whatever the precision of the training
            with torch.inference_mode(), torch.autocast(part.device.type, enabled=False):
                features, logits = self.network(part)
            if self.moments is not None:
                self.moments.update(features.cpu())
            if "is" in self.metrics:
                if logits is None:
                    raise UserError(
                        f"The network {self.network.name} has no classes, so it gives no inception score; "
                        "use inception, or a classifier of these images."
                    )
                if self.classes is None:
                    splits = min(IS_SPLITS, self.count)
                    self.classes = ClassScore(self.count, logits.shape[1], splits)
                self.classes.update(logits.cpu(), where)
            if self.metrics & ROWS:
                self._rows.append(features.float().cpu())
                self._indices.append(where)

    def gather(self) -> Statistics:
        """Statistics of all ranks together, the same on each; ``self`` if there is only one."""
        if share()[1] == 1:
            return self
        shares: list[Any] = [None] * torch.distributed.get_world_size()
        torch.distributed.all_gather_object(shares, (self.moments, self.classes, self._rows, self._indices))
        whole = Statistics(self.network, self.metrics, self.count)
        for moments, classes, rows, indices in shares:
            if whole.moments is not None:
                whole.moments.merge(moments)
            if classes is not None:
                whole.classes = whole.classes or ClassScore(self.count, classes.classes, classes.splits)
                whole.classes.merge(classes)
            whole._rows += rows
            whole._indices += indices
        return whole

    def state(self) -> dict[str, Tensor]:
        """Moments and features as tensors for a file; class sums are not stored."""
        state = {} if self.moments is None else {f"moments.{k}": v for k, v in self.moments.state().items()}
        return state | ({"rows": self.rows} if self._rows else {})

    @classmethod
    def from_state(
        cls, network: FeatureNetwork, metrics: frozenset[Metric], count: int, state: dict[str, Tensor]
    ) -> Statistics:
        """Restore statistics from :meth:`state`.

        Raises:
            UserError: The tensors are not such a state, or not of so many images.
        """
        made = cls(network, metrics, count)
        if made.moments is not None:
            moments = {k.removeprefix("moments."): v for k, v in state.items() if k.startswith("moments.")}
            made.moments = Moments.from_state(moments)
            if made.moments.count != count:
                raise UserError(f"moments of {made.moments.count} images, not of {count}")
        if metrics & ROWS:
            shape = list(state["rows"].shape) if "rows" in state else "no"
            if shape != [count, network.dimension]:
                raise UserError(f"features of shape {shape}, not {[count, network.dimension]}")
            made._rows, made._indices = [state["rows"]], [torch.arange(count)]
        return made


def collect(
    pictures: Pictures, network: FeatureNetwork, metrics: frozenset[Metric], progress: Progress | None = None
) -> Statistics:
    """Collect the statistics of a set; each rank computes its share of the features.

    Args:
        pictures: The set.
        network: Feature network, on the device where it runs.
        metrics: Metrics to collect for.
        progress: Wrapper of the batches, called with the batches and the number of images.
    """
    device = next(network.parameters()).device
    found = Statistics(network, metrics, len(pictures))
    batches = pictures.batches(*share())
    for indices, part in batches if progress is None else progress(batches, len(pictures)):
        found.update(indices, part.to(device))
    return found.gather()


def cached_statistics(
    pictures: Pictures, network: FeatureNetwork, metrics: frozenset[Metric], progress: Progress | None = None
) -> Statistics:
    """As :func:`collect`, but loaded from the cache if the same was collected before."""
    wanted = metrics - {"is"}
    # ranks on several machines may not share a cache, and must not wait for one another
    if not wanted or "is" in metrics or share()[1] > 1:
        return collect(pictures, network, metrics, progress)
    facts = [FORMAT, pictures.facts(), network.identity(), sorted(wanted & {"fd"}), bool(wanted & ROWS)]
    name = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:24]
    path = cache_folder() / "statistics" / f"{name}.safetensors"
    if path.is_file():
        try:
            return Statistics.from_state(network, metrics, len(pictures), read_tensors(path))
        except Exception as error:
            raise UserError(f"{path} is damaged; delete it, and it is computed again.") from error
    found = collect(pictures, network, metrics, progress)
    write_bytes(path, safetensors.torch.save({k: v.contiguous() for k, v in found.state().items()}))
    return found


def score(protocol: Protocol, real: Statistics, made: Statistics, facts: dict[str, Any]) -> list[Row]:
    """The rows of one protocol.

    Args:
        protocol: Protocol to compute.
        real: Statistics of the real set.
        made: Statistics of the generated set, collected with the same network.
        facts: Facts about both sets, stored in the rows' protocol.

    Raises:
        UserError: Too few images.
    """
    title = protocol.title(made.network)
    stated = protocol.settings() | made.network.identity() | facts
    if protocol.metric == "fd":
        assert real.moments is not None and made.moments is not None
        return [Row(title, frechet_distance(real.moments, made.moments), protocol=stated)]
    if protocol.metric == "is":
        assert made.classes is not None
        value, deviation = made.classes.compute()
        stated.pop("real")  # real images do not enter the score
        stated["error"] = f"deviation over {made.classes.splits} splits"
        return [Row(title, value, error=deviation, protocol=stated)]
    if protocol.metric == "kid":
        if min(real.count, made.count) < KID_SIZE:
            stated["subsets"] = "none: all pictures at once"
            return [Row(title, whole_kernel_distance(real.rows, made.rows), protocol=stated)]
        stated |= {"subsets": f"{KID_SUBSETS} of {KID_SIZE}", "error": "deviation over the subsets"}
        value, deviation = kernel_distance(real.rows, made.rows, KID_SUBSETS, KID_SIZE)
        return [Row(title, value, error=deviation, protocol=stated)]
    # precision and recall include a ball's surface, density and coverage do not, as in their papers
    shares = {k: prdc(real.rows, made.rows, k, inclusive=k == 3)._asdict() for k in set(NEAREST.values())}
    network = title.partition("-")[2]
    return [
        Row(f"{name}-{network}" if network else name, shares[k][name], protocol=stated)
        for name, k in NEAREST.items()
    ]


def frechet(a: Tensor, b: Tensor) -> float:
    """Frechet distance of two sets of rows (N, d)."""
    return frechet_distance(Moments.of(a), Moments.of(b))


DISTANCES: dict[Metric, Callable[[Tensor, Tensor], float]] = {"fd": frechet, "kid": whole_kernel_distance}


def halves(rows: Tensor, seed: int) -> tuple[Tensor, Tensor]:
    """Two random halves of rows (N, d), without a common row."""
    order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(mix("halves", seed)))
    half = len(rows) // 2
    return rows[order[:half]], rows[order[half : 2 * half]]


def floor(protocol: Protocol, real: Statistics, facts: dict[str, Any], halvings: int) -> Row:
    """Mean and deviation of a distance between random halves of the real images: what a perfect score is.

    Args:
        protocol: Protocol of a Frechet or a kernel distance.
        real: Statistics of the real set, with its rows.
        facts: Facts about the real set.
        halvings: Number of random halvings.
    """
    rows = real.rows
    found = [DISTANCES[protocol.metric](*halves(rows, seed)) for seed in range(halvings)]
    stated: dict[str, Any] = {"real": facts, "halvings": halvings, "error": "deviation over the halvings"}
    stated["made"] = {"pictures": "random halves of the real ones", "count": len(rows) // 2}
    settings = protocol.settings() | real.network.identity() | stated
    mean, deviation = fmean(found), stdev(found)
    return Row(protocol.title(real.network), mean, "real", settings, deviation)


def warnings(protocols: Iterable[Protocol], network: FeatureNetwork, real: int, made: int) -> list[str]:
    """Warnings before scores with ``network`` are computed: small counts, memory."""
    metrics = {protocol.metric for protocol in protocols}
    found = []
    if "fd" in metrics and (few := small_count_warning(min(real, made), network.dimension)):
        found.append(few)
    if metrics & ROWS:
        needed = 4 * (real + made) * network.dimension / 2**20  # float32
        found.append(f"Every feature is held: {needed:,.0f} MB for {real + made:,} images.")
    return found


def measure(
    protocols: list[Protocol],
    networks: Mapping[tuple[str, Resize | None], FeatureNetwork],
    real: Pictures,
    made: Pictures,
    progress: Progress | None = None,
    warn: bool = True,
    halvings: int = 0,
) -> list[Row]:
    """Scores of ``made`` against ``real`` by all protocols; each set passes once through each network.

    Args:
        protocols: Protocols to compute.
        networks: Feature networks by the protocols' network and resize.
        real: Real images; their statistics are cached.
        made: Images to score.
        progress: Wrapper of the batches that shows a progress bar.
        warn: Warn on standard error if images are few, and state the memory needed.
        halvings: Random halvings of the real images whose distances are reported as rows of the subject
            ``real``; 0 for none.
    """
    rows: list[Row] = []
    facts = {"real": real.facts(), "made": made.facts()}
    if asked := [p for p in protocols if p.metric == "artefacts"]:
        traces = traced(made, progress)
        stated = asked[0].settings() | unscored(traces)
        findings = compare(traces, traced(real, progress))
        rows += artefact_rows(findings, stated | facts, stated | {"real": facts["real"]})
    for key, network in networks.items():
        mine = [p for p in protocols if (p.network, p.resize) == key]
        for sentence in warnings(mine, network, len(real), len(made)) if warn else ():
            print(sentence, file=sys.stderr)
        metrics = frozenset(p.metric for p in mine)
        against = metrics - {"is"}
        distances = [p for p in mine if p.metric in DISTANCES] if halvings else []
        if distances:
            against |= {"kid"}  # collecting for it stores every feature
        of_made = collect(made, network, metrics, progress)
        of_real = cached_statistics(real, network, against, progress) if against else of_made
        for protocol in mine:
            rows += score(protocol, of_real, of_made, facts)
            rows += [floor(protocol, of_real, facts["real"], halvings)] if protocol in distances else []
    order = [p.name for p in protocols]
    return sorted(rows, key=lambda row: order.index(row.protocol["protocol"].rpartition("/")[0]))
