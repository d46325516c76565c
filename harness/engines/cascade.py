"""A network that is cut at its exits, run part after part on the examples that have not left: over any engine.

Each part is a model of its own, exported and loaded by the engine in a folder ``part-N``; ``cascade.json`` says what
passes between them. Between two parts the rows whose answer is sure enough leave, and those that stay are moved
together, so that the layers behind an exit run on no row that has left. It counts the rows that each part was given:
the proof that skipped layers did not run. The module must not know how the network was cut, nor how a part is run.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from harness.engines.protocol import Engine, Profiled, Session
from harness.spec import Placement
from harness.variants.confidence import confidence
from harness.variants.protocol import StagedModel
from results.errors import UnsupportedError
from results.records import Absence, Kernel, Method, Metric, Observation
from results.units import FRACTION

CASCADE_FILE: Final = "cascade.json"
EXPORT_ROWS: Final = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Wiring:
    """What passes between the parts: the input names of each, and where examples leave."""

    inputs: tuple[tuple[str, ...], ...]
    thresholds: tuple[float, ...]
    """One for each part but the last."""
    again: tuple[str, ...]
    """Inputs of the network that every part but the first takes after what is carried."""
    layers: tuple[int, ...]
    """How many layers each part runs."""


def is_cascade(directory: Path) -> bool:
    """Whether an artifact was cut into parts."""
    return (directory / CASCADE_FILE).is_file()


def export_parts(engine: Engine, model: StagedModel, directory: Path) -> None:
    """Let the engine export each part into a folder of its own, and write down what passes between them.

    Raises:
        UnsupportedError: if a part cannot run on the engine.
    """
    for number, part in enumerate(model.parts):
        folder = directory / f"part-{number}"
        folder.mkdir()
        engine.export(part, {name: array[:EXPORT_ROWS] for name, array in model.examples[number].items()}, folder)
    wiring = Wiring(
        inputs=tuple(tuple(example) for example in model.examples),
        thresholds=model.thresholds,
        again=model.again,
        layers=model.layers or (1,) * len(model.parts),
    )
    (directory / CASCADE_FILE).write_text(json.dumps(asdict(wiring), indent=1, sort_keys=True))


def load_parts(engine: Engine, directory: Path, placement: Placement) -> CascadeSession:
    """Let the engine load each part.

    Raises:
        UnsupportedError: on a device, whose events tell the latency of a part and not of a query.
    """
    if placement.device != "cpu":
        what = "a query that leaves early is timed on the CPU alone: a GPU's events would tell its parts, not the whole"
        raise UnsupportedError(what, where="placements", fix="use `device: cpu`, or leave `early-exit` out")
    stored = json.loads((directory / CASCADE_FILE).read_text())
    wiring = Wiring(
        inputs=tuple(map(tuple, stored["inputs"])),
        thresholds=tuple(stored["thresholds"]),
        again=tuple(stored["again"]),
        layers=tuple(stored["layers"]),
    )
    return CascadeSession([engine.load(directory / f"part-{n}", placement) for n in range(len(wiring.inputs))], wiring)


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """A batch on its way in: what the first part takes, what later parts need again, and the number of rows."""

    first: Any
    again: tuple[NDArray[Any], ...]
    rows: int


class CascadeSession:
    """Parts in their order; ``run`` stops where no row is left."""

    def __init__(self, parts: Sequence[Session], wiring: Wiring) -> None:
        self._parts, self._wiring = tuple(parts), wiring
        self._rows = [0] * len(parts)

    def feed(self, inputs: Mapping[str, NDArray[Any]]) -> Query:
        """What the first part takes, and the inputs that later parts ask for again."""
        again = tuple(np.ascontiguousarray(inputs[name]) for name in self._wiring.again)
        return Query(first=self._parts[0].feed(inputs), again=again, rows=len(next(iter(inputs.values()))))

    def run(self, feed: Query) -> NDArray[Any]:
        """Answer: logits ``[batch, …, classes]`` in the order of the batch, whichever exit each row took."""
        answers: NDArray[Any] | None = None
        places = np.arange(feed.rows)
        given, again = feed.first, feed.again
        carried: tuple[NDArray[Any], ...] = ()
        for number, part in enumerate(self._parts):
            self._rows[number] += len(places)
            logits, *handed = part.outputs(part.run(given))
            stays = self._staying(number, logits)
            if answers is None and not stays.any():
                return logits
            if answers is None:
                answers = np.empty((feed.rows, *logits.shape[1:]), dtype=logits.dtype)
            if stays.all():
                carried = (*handed, *carried[len(handed) :])
            else:
                answers[places[~stays]] = logits[~stays]
                places = places[stays]
                if not len(places):
                    break
                carried = tuple(tensor[stays] for tensor in (*handed, *carried[len(handed) :]))
                again = tuple(array[stays] for array in again)
            names = self._wiring.inputs[number + 1]
            given = self._parts[number + 1].feed(dict(zip(names, (*carried, *again), strict=True)))
        assert answers is not None, "the last part lets nothing stay"
        return answers

    def outputs(self, result: NDArray[Any]) -> tuple[NDArray[Any], ...]:
        """The logits."""
        return (result,)

    def synchronize(self) -> None:
        """Nothing to wait for: each part has answered before its rows are looked at."""

    def device_latencies_ns(self) -> None:
        """None: the CPU has no events of its own."""

    def allocator_peak_bytes(self) -> None:
        """None: nothing counts CPU allocations."""

    def kernels(self, feed: Query) -> tuple[Kernel, ...]:
        """The operators of all parts on every row of a query, as if none left; empty where the engine tells none."""
        calls: Counter[Kernel] = Counter()
        given = feed.first
        carried: tuple[NDArray[Any], ...] = ()
        for number, part in enumerate(self._parts):
            if isinstance(part, Profiled):
                for kernel in part.kernels(given):
                    calls[Kernel(**{**asdict(kernel), "calls": 0})] += kernel.calls
            if number + 1 < len(self._parts):
                _, *handed = part.outputs(part.run(given))
                carried = (*handed, *carried[len(handed) :])
                named = zip(self._wiring.inputs[number + 1], (*carried, *feed.again), strict=True)
                given = self._parts[number + 1].feed(dict(named))
        return tuple(Kernel(**{**asdict(kernel), "calls": count}) for kernel, count in calls.items())

    def told(self) -> Observation:
        """Where the examples left since the last time this was asked, and how many rows each part was given."""
        rows, self._rows = self._rows, [0] * len(self._parts)
        if not rows[0]:
            return Observation(absences=(Absence(metric="layers_run_per_example", reason="no query was answered"),))
        left = [here - behind for here, behind in zip(rows, [*rows[1:], 0], strict=True)]
        layers = sum(count * depth for count, depth in zip(rows, self._wiring.layers, strict=True))
        figures = {f"exit_share_{number}": count / rows[0] for number, count in enumerate(left, start=1)}
        figures |= {f"rows_part_{number}": float(count) for number, count in enumerate(rows, start=1)}
        figures["layers_run_per_example"] = layers / rows[0]
        return Observation(metrics=tuple(_counted(name, value, rows[0]) for name, value in figures.items()))

    def _staying(self, number: int, logits: NDArray[Any]) -> NDArray[np.bool_]:
        """Which rows are not sure enough to leave; behind the last part none is left."""
        if number == len(self._wiring.thresholds):
            return np.zeros(len(logits), dtype=np.bool_)
        return confidence(logits) < self._wiring.thresholds[number]


def _counted(name: str, value: float, examples: int) -> Metric:
    return Metric(
        name=name,
        value=value,
        unit=FRACTION,
        method=Method.MEASURED_COUNTER,
        source="rows that each part was given",
        scope="model",
        observations=examples,
    )
