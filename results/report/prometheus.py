"""A store in Prometheus's text format 0.0.4: the latest campaign of each name, in base units.

A figure that is not there is left out, for 0 would be a claim. Names and escaping are prometheus_client's, which
codecarbon brings along. It must not know HTTP, nor how rows are read.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from results.report.live import CampaignLine, Interim
from results.report.summary import Row, Table

if TYPE_CHECKING:
    from prometheus_client.core import GaugeMetricFamily

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

_ARM: Final = ("campaign", "workload", "variant", "engine", "scenario", "device")


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """A campaign with its figures, and whether its driver is at work."""

    line: CampaignLine
    interim: Interim
    is_running: bool


def latest_of_each_name(lines: Iterable[CampaignLine]) -> tuple[CampaignLine, ...]:
    """The first of each name, of lines that are newest first."""
    newest: dict[str, CampaignLine] = {}
    for line in lines:
        newest.setdefault(line.campaign, line)
    return tuple(newest.values())


def render(campaigns: Sequence[Measured], *, store_bytes: int) -> bytes:
    """The whole exposition.

    Args:
        campaigns: at most one of each name.
        store_bytes: what the store's file takes.
    """
    from prometheus_client import CollectorRegistry, generate_latest

    class Families:
        """What a registry asks its collectors for."""

        def collect(self) -> Iterator[GaugeMetricFamily]:
            """Each family that has a sample."""
            return (family for family in _families(campaigns, store_bytes) if family.samples)

    registry = CollectorRegistry(auto_describe=False)
    registry.register(Families())
    exposition: bytes = generate_latest(registry)
    return exposition


def _families(campaigns: Sequence[Measured], store_bytes: int) -> Iterator[GaugeMetricFamily]:
    yield _family("joulemark_store_bytes", "Size of the store's file.", (), [((), store_bytes)])
    yield from _of_campaigns(campaigns)
    arms = [
        ({**_labels(row), "campaign": one.line.campaign}, row, table)
        for one in campaigns
        for table in one.interim.tables
        for row in table.rows
    ]
    for name, help_text, figures in _FIGURES:
        extra = tuple(next((more for row in arms for more, _ in figures(row[1], row[2])), {}))
        samples = [
            ((*(labels[key] for key in _ARM), *more.values()), value)
            for labels, row, table in arms
            for more, value in figures(row, table)
        ]
        yield _family(name, help_text, (*_ARM, *extra), samples)


def _of_campaigns(campaigns: Sequence[Measured]) -> Iterator[GaugeMetricFamily]:
    yield _family(
        "joulemark_campaign_info",
        "1; which run the latest campaign of a name is.",
        ("campaign", "campaign_id"),
        [((one.line.campaign, one.line.campaign_id), 1) for one in campaigns],
    )
    yield _family(
        "joulemark_campaign_running",
        "Whether the campaign's driver is at work: 1 or 0.",
        ("campaign",),
        [((one.line.campaign,), int(one.is_running)) for one in campaigns],
    )
    yield _family(
        "joulemark_trials_planned",
        "Trials of the whole campaign.",
        ("campaign",),
        [((one.line.campaign,), one.line.planned) for one in campaigns],
    )
    yield _family(
        "joulemark_trials",
        "Trials by how their latest attempt ended.",
        ("campaign", "status"),
        [((one.line.campaign, status), count) for one in campaigns for status, count in one.line.ended.items()],
    )
    yield _family(
        "joulemark_last_trial_timestamp_seconds",
        "When the campaign's newest trial ended, since the epoch.",
        ("campaign",),
        [((one.line.campaign,), _epoch_s(one.line.last_at)) for one in campaigns],
    )


def _family(
    name: str, help_text: str, labels: Sequence[str], samples: Iterable[tuple[Sequence[str], float | None]]
) -> GaugeMetricFamily:
    from prometheus_client.core import GaugeMetricFamily

    family = GaugeMetricFamily(name, help_text, labels=labels)
    for values, figure in samples:
        if figure is not None:
            family.add_metric(values, figure)
    return family


def _epoch_s(at: datetime | None) -> float | None:
    return None if at is None else at.replace(tzinfo=UTC).timestamp()


def _labels(row: Row) -> dict[str, str]:
    return {name: getattr(row.arm, name) for name in _ARM if name != "campaign"}


_Figures = Iterable[tuple[Mapping[str, str], float | None]]


def _latency(row: Row, _: Table) -> _Figures:
    quantiles = {"0.5": row.latency_p50_s, "0.9": row.latency_p90_s, "0.99": row.latency_p99_s}
    return [({"quantile": quantile}, value) for quantile, value in quantiles.items()]


def _plain(name: str) -> Any:
    return lambda row, _: [({}, getattr(row, name))]


def _of_energy(name: str) -> Any:
    return lambda row, _: [({"method": row.energy_method or "unknown"}, getattr(row, name))]


def _quality(row: Row, table: Table) -> _Figures:
    return [({"metric": "fidelity" if table.fidelity else table.quality_metric}, row.quality)]


_FIGURES: Final[Sequence[tuple[str, str, Any]]] = (
    ("joulemark_latency_seconds", "Latency of a query; median over trials.", _latency),
    ("joulemark_throughput_per_second", "Samples answered per second; median over trials.", _plain("throughput_per_s")),
    (
        "joulemark_energy_joules_per_inference",
        "Energy of one inference, and how it was obtained; median over trials.",
        _of_energy("energy_j_per_inference"),
    ),
    (
        "joulemark_co2e_grams_per_1000_inferences",
        "Grams of CO2e of 1,000 inferences, and how their energy was obtained.",
        _of_energy("gco2e_per_1k"),
    ),
    ("joulemark_peak_memory_bytes", "Peak resident memory of the trial's processes.", _plain("peak_rss_bytes")),
    ("joulemark_peak_gpu_memory_bytes", "Peak memory on the GPU.", _plain("peak_gpu_bytes")),
    ("joulemark_artifact_bytes", "What the artifact takes on disk.", _plain("artifact_bytes")),
    ("joulemark_quality", "Quality by the workload's own metric.", _quality),
    ("joulemark_speedup_ratio", "Times as fast as the baseline, paired by block.", _plain("speedup")),
    ("joulemark_speedup_lower_ratio", "Lower end of the speed-up's 95% interval.", _plain("speedup_lo")),
    ("joulemark_speedup_upper_ratio", "Upper end of the speed-up's 95% interval.", _plain("speedup_hi")),
)
