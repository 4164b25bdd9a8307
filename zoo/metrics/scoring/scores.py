"""Scores of a set of pictures against another by protocol: features are collected once, then compared.

Frechet distances and inception scores keep moments and sums only, whatever the number of pictures; kernel
distances and precision, recall, density, coverage keep every feature. Statistics of real pictures are kept in
files under what they depend on: the pictures, the network, and what was collected.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import safetensors.torch
import torch
import torch.distributed
from torch import Tensor

from zoo.errors import UserError
from zoo.features.network import FeatureNetwork
from zoo.files.writing import cache_folder, write_bytes
from zoo.metrics.formulas.frechet import Moments, frechet_distance, small_count_warning
from zoo.metrics.formulas.inception_score import ClassScore
from zoo.metrics.formulas.kernel import kernel_distance, whole_kernel_distance
from zoo.metrics.formulas.prdc import memory_needed, prdc
from zoo.metrics.scoring.protocols import IS_SPLITS, KID_SIZE, KID_SUBSETS, NEAREST, Metric, Protocol, Resize
from zoo.metrics.scoring.report import Row
from zoo.metrics.scoring.subjects import Pictures

FORMAT = 1  # of the kept statistics
AT_ONCE = 32  # pictures that a network sees together
ROWS: frozenset[Metric] = frozenset({"kid", "prdc"})  # need every feature
Progress = Callable[[Iterable[Any], int], Iterable[Any]]


class Statistics:
    """What the metrics need to know of one set's features.

    Args:
        network: Whose features.
        metrics: For which metrics.
        count: Pictures in all.
    """

    def __init__(self, network: FeatureNetwork, metrics: frozenset[Metric], count: int) -> None:
        self.network, self.metrics, self.count = network, metrics, count
        self.moments = Moments(network.dimension) if "fd" in metrics else None
        self.classes: ClassScore | None = None
        self._rows: list[Tensor] = []
        self._places: list[Tensor] = []

    @property
    def rows(self) -> Tensor:
        """Every feature (count, dimension) in the order of the pictures."""
        order = torch.cat(self._places).argsort()
        return torch.cat(self._rows)[order]

    def update(self, places: Tensor, pictures: Tensor) -> None:
        """Take pictures (N, C, H, W) in bytes in, with their places (N) among all."""
        for where, part in zip(torch.split(places, AT_ONCE), torch.split(pictures, AT_ONCE), strict=True):
            # in float32 whatever the precision of a training that asks
            with torch.inference_mode(), torch.autocast(part.device.type, enabled=False):
                features, logits = self.network(part)
            if self.moments is not None:
                self.moments.update(features.cpu())
            if "is" in self.metrics:
                if logits is None:
                    raise UserError(
                        f"The network {self.network.name} names no classes, so it gives no inception score; "
                        "take inception, or a classifier of these pictures."
                    )
                if self.classes is None:
                    splits = min(IS_SPLITS, self.count)
                    self.classes = ClassScore(self.count, logits.shape[1], splits)
                self.classes.update(logits.cpu(), where)
            if self.metrics & ROWS:
                self._rows.append(features.float().cpu())
                self._places.append(where)

    def gather(self) -> Statistics:
        """Of all processes together, the same on each; itself where there is one."""
        if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
            return self
        shares: list[Any] = [None] * torch.distributed.get_world_size()
        moments = self.moments.state() if self.moments is not None else None
        torch.distributed.all_gather_object(shares, (moments, self.classes, self._rows, self._places))
        whole = Statistics(self.network, self.metrics, self.count)
        for moments, classes, rows, places in shares:
            if whole.moments is not None:
                whole.moments.merge(Moments.from_state(moments))
            if classes is not None:
                whole.classes = whole.classes or ClassScore(self.count, classes.classes, classes.splits)
                whole.classes.merge(classes)
            whole._rows += rows
            whole._places += places
        return whole

    def state(self) -> dict[str, Tensor]:
        """Moments and features as tensors for a file; class sums are not kept."""
        state = {} if self.moments is None else {f"moments.{k}": v for k, v in self.moments.state().items()}
        return state | ({"rows": self.rows} if self._rows else {})

    @classmethod
    def from_state(
        cls, network: FeatureNetwork, metrics: frozenset[Metric], count: int, state: dict[str, Tensor]
    ) -> Statistics:
        """The statistics that ``state`` was taken of."""
        made = cls(network, metrics, count)
        if made.moments is not None:
            moments = {k.removeprefix("moments."): v for k, v in state.items() if k.startswith("moments.")}
            made.moments = Moments.from_state(moments)
        if "rows" in state:
            made._rows, made._places = [state["rows"]], [torch.arange(count)]
        return made


def collect(
    pictures: Pictures,
    network: FeatureNetwork,
    metrics: frozenset[Metric],
    progress: Progress | None = None,
) -> Statistics:
    """Features of all pictures, each process taking its share, as the metrics need them.

    Args:
        pictures: The set.
        network: On the device where it shall run.
        metrics: For which metrics.
        progress: Wraps the batches, told how many pictures there are.
    """
    distributed = torch.distributed.is_available() and torch.distributed.is_initialized()
    rank = torch.distributed.get_rank() if distributed else 0
    ranks = torch.distributed.get_world_size() if distributed else 1
    device = next(network.parameters()).device
    found = Statistics(network, metrics, len(pictures))
    batches = pictures.batches(rank, ranks)
    for places, part in batches if progress is None else progress(batches, len(pictures)):
        found.update(places, part.to(device))
    return found.gather()


def kept(
    pictures: Pictures,
    network: FeatureNetwork,
    metrics: frozenset[Metric],
    progress: Progress | None = None,
) -> Statistics:
    """As :func:`collect`, from the file where the same was kept before, if there is one."""
    wanted = metrics - {"is"}
    # processes of several machines need not find the same files, and must not wait for each other's
    distributed = torch.distributed.is_available() and torch.distributed.is_initialized()
    if not wanted or "is" in metrics or distributed:
        return collect(pictures, network, metrics, progress)
    facts = [FORMAT, pictures.facts(), network.identity(), sorted(wanted & {"fd"}), bool(wanted & ROWS)]
    name = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:24]
    path = cache_folder() / "statistics" / f"{name}.safetensors"
    if path.is_file():
        try:
            state = safetensors.torch.load_file(path)
            return Statistics.from_state(network, metrics, len(pictures), state)
        except Exception as error:
            raise UserError(f"{path} is damaged ({type(error).__name__}); delete it.") from error
    found = collect(pictures, network, metrics, progress)
    write_bytes(path, safetensors.torch.save({k: v.contiguous() for k, v in found.state().items()}))
    return found


@dataclass(frozen=True)
class Sides:
    """A generated set and the real one, collected with one network."""

    real: Statistics
    made: Statistics


def score(protocol: Protocol, sides: Sides, facts: dict[str, Any]) -> list[Row]:
    """The rows of one protocol.

    Args:
        protocol: What to compute.
        sides: Features of both sets.
        facts: What both sets are, for the rows' protocol.

    Raises:
        UserError: Too few pictures.
    """
    real, made = sides.real, sides.made
    title = protocol.title(made.network)
    stated = protocol.settings() | made.network.identity() | facts
    if protocol.metric == "fd":
        assert real.moments is not None and made.moments is not None
        return [Row(title, frechet_distance(real.moments, made.moments), protocol=stated)]
    if protocol.metric == "is":
        assert made.classes is not None
        value, deviation = made.classes.compute()
        stated.pop("real")  # which has no part in it
        stated["error"] = f"deviation over {made.classes.splits} splits"
        return [Row(title, value, error=deviation, protocol=stated)]
    if protocol.metric == "kid":
        if min(real.count, made.count) < KID_SIZE:
            stated["subsets"] = "none: all pictures at once"
            return [Row(title, whole_kernel_distance(real.rows, made.rows), protocol=stated)]
        stated |= {"subsets": f"{KID_SUBSETS} of {KID_SIZE}", "error": "deviation over the subsets"}
        value, deviation = kernel_distance(real.rows, made.rows, KID_SUBSETS, KID_SIZE)
        return [Row(title, value, error=deviation, protocol=stated)]
    # each pair of shares as its paper has it: the older one counts a ball's surface, the newer does not
    shares = {k: prdc(real.rows, made.rows, k, inclusive=k == 3)._asdict() for k in set(NEAREST.values())}
    network = title.partition("-")[2]
    return [
        Row(f"{name}-{network}" if network else name, shares[k][name], protocol=stated)
        for name, k in NEAREST.items()
    ]


def warnings(protocols: Iterable[Protocol], network: FeatureNetwork, real: int, made: int) -> list[str]:
    """What a user should know before scores with ``network`` are computed: counts too small, memory."""
    metrics = {protocol.metric for protocol in protocols}
    found = []
    if "fd" in metrics and (few := small_count_warning(min(real, made), network.dimension)):
        found.append(few)
    if metrics & ROWS:
        needed = memory_needed(real, made, network.dimension) / 2**20
        found.append(f"Every feature is kept: {needed:,.0f} MB for {real + made:,} pictures.")
    return found


def measure(
    protocols: list[Protocol],
    networks: Mapping[tuple[str, Resize | None], FeatureNetwork],
    real: Pictures,
    made: Pictures,
    progress: Progress | None = None,
    warn: bool = True,
) -> list[Row]:
    """Scores of ``made`` against ``real`` by all protocols; each set goes once through each network.

    Args:
        protocols: What to compute.
        networks: By the protocols' network and resize.
        real: The set that is aimed at; its statistics are kept in the cache.
        made: The set to score.
        progress: Wraps batches in a progress bar where one is wanted.
        warn: Say on standard error where pictures are few and how much memory is needed.
    """
    rows = []
    facts = {"real": real.facts(), "made": made.facts()}
    for key, network in networks.items():
        mine = [p for p in protocols if (p.network, p.resize) == key]
        for sentence in warnings(mine, network, len(real), len(made)) if warn else ():
            print(sentence, file=sys.stderr)
        metrics = frozenset(p.metric for p in mine)
        against = metrics - {"is"}
        of_made = collect(made, network, metrics, progress)
        of_real = kept(real, network, against, progress) if against else of_made
        for protocol in mine:
            rows += score(protocol, Sides(of_real, of_made), facts)
    order = [p.name for p in protocols]
    return sorted(rows, key=lambda row: order.index(row.protocol["protocol"].rpartition("/")[0]))
