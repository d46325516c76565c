"""Two sides of a gate, made by hand: figures by block, scores by example."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from results.choice.measures import find_measure
from results.derived import Estimate
from results.gate.rules import Bound, Policy, Rule
from results.gate.sides import Pair, Side
from results.records import Arm, ArmRecord, Status
from results.verdict import Failure

ARM = Arm(workload="digits-cnn", variant="int8", engine="onnxruntime", scenario="single-stream/1", device="cpu/1t")
P50 = "latency_p50_s"


def rule(metric: str, bound: Bound, limit: float, **keys: object) -> Rule:
    """One rule, its metric by name."""
    return Rule(bound=bound, limit=limit, measure=find_measure(metric, where=""), **keys)


def joint(*metrics: str, tolerance: float = 0.02, drop: float = 0.0) -> Rule:
    """A joint rule."""
    among = tuple(find_measure(metric, where="") for metric in metrics)
    return Rule(bound=Bound.NOT_DOMINATED, limit=tolerance, drop_limit=drop, among=among)


def policy(*rules: Rule, **keys: float) -> Policy:
    """A policy of 6 and 10 blocks."""
    return Policy(rules=rules, **keys)


def side(
    figures: Mapping[str, Sequence[float]] | None = None,
    *,
    scores: NDArray[np.float64] | None = None,
    stored_bytes: int | None = None,
    failure: Failure | None = None,
    methods: Mapping[str, str] | None = None,
    higher_is_better: bool = True,
) -> Side:
    """One side; each figure has a value a block, numbered from 0."""
    figures = figures or {}
    blocks = max((len(values) for values in figures.values()), default=0)
    return Side(
        record=ArmRecord(
            arm=ARM,
            artifact_id=None,
            keeps_fp32=False,
            primary_metric=P50,
            quality_metric="accuracy",
            quality_higher_is_better=higher_is_better,
            fidelity=False,
        ),
        estimates=[
            Estimate(
                arm=ARM,
                block=block,
                node="n",
                metrics={name: values[block] for name, values in figures.items() if block < len(values)},
                methods=methods or {},
            )
            for block in range(blocks)
        ],
        scores=scores,
        stored_bytes=stored_bytes,
        failure=failure,
    )


def pair(head: Side, base: Side | None, control: Side | None = None, *, is_paired: bool = True) -> Pair:
    """The two sides of :data:`ARM`."""
    return Pair(arm=ARM, head=head, base=base, control=control, is_paired=is_paired)


def failed(status: Status = Status.CRASHED, trials: int = 1) -> Failure:
    """Trials that did not end well."""
    return Failure(status=status, reason="died of SIGSEGV", trials=trials)


def noisy(rng: np.random.Generator, blocks: int, sigma: float, *effects: float) -> list[NDArray[np.float64]]:
    """Figures about 1 ms times each effect: a drift that a block's sides share, and each process's own noise."""
    drift = np.cumsum(rng.normal(0.0, 0.02, blocks))
    return [1e-3 * effect * np.exp(drift + rng.normal(0.0, sigma, blocks)) for effect in effects]
