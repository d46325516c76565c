"""One suite over everything in the catalog: a new plug-in is tested here with no edit anywhere."""

from __future__ import annotations

import dataclasses
import importlib.util
import itertools
import json
import os
import pickle
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from collectors.protocol import Availability, Collector, Place, Recorder, Subject
from collectors.window import Watch
from harness.catalog import SEAMS, load_catalog
from harness.config import content_hash, load_campaign, to_json
from harness.engines.protocol import Engine
from harness.spec import Campaign, Placement, Variant
from harness.variants.protocol import Stage, Step
from results.records import Method, Samples, Window
from results.units import NS_PER_S
from scenarios.load.protocol import HasObjective, Load, Until
from scenarios.workloads.protocol import HasTokens, Quality, Workload

CATALOG = load_catalog()
QUERY_NS = 2_000_000
UNTIL = Until(min_duration_ns=NS_PER_S // 5, min_queries=50, max_duration_ns=20 * NS_PER_S)
KEBAB = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")

every_load = pytest.mark.parametrize("load_type", CATALOG.loads.values(), ids=CATALOG.loads)
every_step = pytest.mark.parametrize("step_type", CATALOG.steps.values(), ids=CATALOG.steps)
every_engine = pytest.mark.parametrize("engine_type", CATALOG.engines.values(), ids=CATALOG.engines)
every_collector = pytest.mark.parametrize("collector_type", CATALOG.collectors.values(), ids=CATALOG.collectors)
every_workload = pytest.mark.parametrize("kind", CATALOG.workloads)


def _every_plugin() -> list[Any]:
    return [
        pytest.param(name, plugin, seam, id=f"{seam.noun}-{name}".replace(" ", "-"))
        for listing, seam in SEAMS.items()
        for name, plugin in getattr(CATALOG, listing).items()
    ]


@pytest.mark.parametrize(("name", "plugin", "seam"), _every_plugin())
def test_a_plugin_is_listed_under_its_own_kebab_case_name(name: str, plugin: Any, seam: Any) -> None:
    """The name in a campaign is the class's own, and the class says in a sentence what it is."""
    assert getattr(plugin, seam.key) == name
    assert KEBAB.fullmatch(name)
    assert (plugin.__doc__ or "").strip()
    assert not (plugin.__doc__ or "").startswith(f"{plugin.__name__}(")


@dataclass
class CountingModel:
    """A clock that moves on by each query and each sleep, and by nothing else."""

    now_ns: int = 1_000
    query_ns: int = QUERY_NS
    answered: list[object] = field(default_factory=list)

    def clock(self) -> int:
        """Tell the time."""
        return self.now_ns

    def sleep(self, duration_s: float) -> None:
        """Let time pass."""
        self.now_ns += round(duration_s * NS_PER_S)

    def query(self, feed: object) -> None:
        """Note the feed and take the time of one query."""
        self.answered.append(feed)
        self.now_ns += self.query_ns


def _fields(plugin: Any) -> list[dataclasses.Field[Any]]:
    """The fields that a campaign may set."""
    return [one for one in dataclasses.fields(plugin) if one.init and one.compare]


def _driven(load_type: type[Load], model: CountingModel, until: Until = UNTIL, seed: int = 3) -> Samples:
    """Drive with the model's clock; a load that waits does so through its method ``wait``."""
    waiting = {"wait": lambda _, duration_s: model.sleep(duration_s)} if hasattr(load_type, "wait") else {}
    scripted: type[Load] = type("Scripted", (load_type,), {"__slots__": (), **waiting})
    return scripted().drive(model.query, ["a", "b", "c"], until, model.clock, seed)


@every_load
def test_a_load_records_one_row_per_query(load_type: type[Load]) -> None:
    """All arrays are int64 and as long as the queries sent; starts never go back; latencies are positive."""
    model = CountingModel()
    samples = _driven(load_type, model)
    arrays = (samples.scheduled_ns, samples.started_ns, samples.latency_ns)
    assert [(array.dtype, array.shape) for array in arrays] == [(np.dtype(np.int64), (len(model.answered),))] * 3
    assert np.all(np.diff(samples.started_ns) >= 0)
    assert np.all(np.diff(samples.scheduled_ns) >= 0)
    assert np.all(samples.started_ns >= samples.scheduled_ns)
    assert np.all(samples.latency_ns >= QUERY_NS)
    assert samples.batch == load_type().batch


@every_load
def test_a_load_sends_the_feeds_in_turn(load_type: type[Load]) -> None:
    """Feeds come over and over in their order, so that every arm sees the same inputs."""
    model = CountingModel()
    _driven(load_type, model)
    assert model.answered == list(itertools.islice(itertools.cycle("abc"), len(model.answered)))


@every_load
def test_a_load_meets_both_minima_and_goes_no_further(load_type: type[Load]) -> None:
    """It stops with the first query that ends beyond both the least duration and the least number."""
    for until in (UNTIL, dataclasses.replace(UNTIL, min_queries=1), dataclasses.replace(UNTIL, min_duration_ns=0)):
        model = CountingModel()
        opened_ns = model.now_ns
        samples = _driven(load_type, model, until)
        ends = samples.scheduled_ns + samples.latency_ns
        enough = (ends - opened_ns >= until.min_duration_ns) & (np.arange(1, len(samples) + 1) >= until.min_queries)
        assert enough.tolist() == [False] * (len(samples) - 1) + [True]


@every_load
def test_a_load_ends_at_the_maximum(load_type: type[Load]) -> None:
    """A model too slow for the least number of queries is stopped by the clock."""
    model = CountingModel(query_ns=NS_PER_S)
    until = Until(min_duration_ns=NS_PER_S, min_queries=10**6, max_duration_ns=5 * NS_PER_S)
    assert 1 <= len(_driven(load_type, model, until)) <= 6


@every_load
def test_a_load_is_a_function_of_its_seed(load_type: type[Load]) -> None:
    """One seed, one sequence of arrivals."""
    first, second = (_driven(load_type, CountingModel(), seed=5) for _ in range(2))
    assert first.scheduled_ns.tolist() == second.scheduled_ns.tolist()


@every_load
def test_a_loads_label_tells_all_that_sets_it_apart(load_type: type[Load]) -> None:
    """Another value of any number field gives another label: the store tells scenarios apart by it alone."""
    load = load_type()
    changed = [
        dataclasses.replace(load, **{one.name: getattr(load, one.name) + 1})  # type: ignore[type-var]
        for one in _fields(load_type)
        if isinstance(getattr(load, one.name), int | float)
    ]
    labels = [load.label, *(other.label for other in changed)]
    assert len(set(labels)) == len(labels)
    assert load.label.startswith(load.name)
    assert load.primary in {"latency_p50_s", "throughput_per_s"}


@every_load
def test_a_load_has_an_objective_only_where_one_is_set(load_type: type[Load]) -> None:
    """By default every query counts; an objective is part of the label and changes no arrival."""
    load = load_type()
    if not isinstance(load, HasObjective):
        return
    assert load.latency_objective_s is None
    timely = dataclasses.replace(load, latency_objective_s=0.02)  # type: ignore[type-var]
    assert timely.label != load.label
    assert timely.label.startswith(load.label)


@every_load
def test_a_load_crosses_the_wire_and_comes_from_a_file(load_type: type[Load]) -> None:
    """Equal after pickling, and equal when its fields are read back from a campaign."""
    load = load_type()
    assert pickle.loads(pickle.dumps(load)) == load
    settings = {one.name: getattr(load, one.name) for one in _fields(load_type)}
    assert _campaign(scenarios=[{"load": load.name, **settings}]).scenarios == (load,)


@every_step
def test_a_step_is_a_value(step_type: type[Step]) -> None:
    """Defaults make one; equal ones are one key; it survives pickling and cannot be changed."""
    step = step_type()
    assert {step, step_type(), pickle.loads(pickle.dumps(step))} == {step}
    for one in dataclasses.fields(step_type):  # type: ignore[arg-type]
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(step, one.name, None)


@every_step
def test_a_steps_settings_come_back_from_json(step_type: type[Step]) -> None:
    """What is stored with a run is what a campaign file would need to say."""
    step = step_type()
    stored = json.loads(to_json(_built("steps", step)))["variants"][0]["steps"]
    engines = sorted(step.engines or CATALOG.engines)
    fitting = next(name for name in engines if step.stage == Stage.TORCH or CATALOG.engines[name].takes == Stage.ONNX)
    read = _campaign(variants=[{"name": "v", "engine": fitting, "steps": stored}])
    assert read.variants[0].steps == (step,)


@every_step
def test_a_step_says_where_it_belongs(step_type: type[Step]) -> None:
    """Its stage is one of the two, and the engines it names exist and can take it."""
    assert step_type.stage in set(Stage)
    assert isinstance(step_type.keeps_fp32, bool)
    assert step_type.engines is None or step_type.engines <= set(CATALOG.engines)


@every_engine
def test_an_engine_names_what_to_preload(engine_type: type[Engine]) -> None:
    """The fork server can import every one of them."""
    assert [name for name in engine_type.preload if importlib.util.find_spec(name) is None] == []
    assert engine_type.takes in set(Stage)


@every_engine
def test_an_engine_tells_its_toolchain(engine_type: type[Engine]) -> None:
    """What an artifact depends on is text by name, the same whenever it is asked."""
    toolchain = engine_type().toolchain()
    assert toolchain
    assert {(type(key), type(value)) for key, value in toolchain.items()} == {(str, str)}
    assert dict(engine_type().toolchain()) == dict(toolchain)


@every_collector
def test_a_collector_declares_its_figures(collector_type: type[Collector]) -> None:
    """At least one, none twice, and a place to run."""
    assert collector_type.metrics
    assert len(set(collector_type.metrics)) == len(collector_type.metrics)
    assert collector_type.place in set(Place)


@every_collector
@pytest.mark.parametrize("subject", [Subject(cores=(0,)), Subject(device="cuda"), Subject(device="cuda", index=99)])
def test_a_probe_answers_for_any_subject(collector_type: type[Collector], subject: Subject) -> None:
    """It never raises; what is not available has a reason, and what is has a method."""
    found = collector_type().probe(subject)
    assert isinstance(found, Availability)
    if found.available:
        assert found.method in set(Method)
    else:
        assert found.reason


@every_collector
def test_a_window_closes_whatever_the_instrument_does(collector_type: type[Collector]) -> None:
    """Through a window each declared figure is brought, read or absent with a reason, and no other figure appears."""
    now_ns = itertools.count(10**12, NS_PER_S)
    clock = now_ns.__next__
    watch = Watch([collector_type()], Subject(cores=(0,)), clock)
    watch.start()
    watch.follow(os.getpid())
    found = watch.stop(Window(opened_ns=clock(), closed_ns=clock()))
    brought = {metric.name for metric in found.metrics}
    read = {reading.metric for reading in found.readings}
    absent = {absence.metric for absence in found.absences if absence.reason}
    assert brought | read | absent >= set(collector_type.metrics)
    assert brought <= set(collector_type.metrics)
    assert not absent & (brought | read)


@every_collector
def test_an_instrument_that_looks_back_tells_its_own_figures_alone(collector_type: type[Collector]) -> None:
    """Of a stretch that it did not watch it brings no figure, and of any stretch none that it does not declare."""
    collector = collector_type()
    now_ns = itertools.count(10**12, NS_PER_S)
    clock = now_ns.__next__
    watch = Watch([collector], Subject(cores=(0,)), clock)
    watch.start()
    watch.stop(Window(opened_ns=clock(), closed_ns=clock()))
    found = watch.over(Window(opened_ns=0, closed_ns=NS_PER_S))
    told = {absence.metric for absence in found.absences if absence.reason}
    assert told <= set(collector_type.metrics)
    assert not isinstance(collector, Recorder) or found.metrics == ()


def _workload(kind: str, folder: Path) -> Workload:
    """A workload from a campaign entry: its name, or for own models a key with what it takes."""
    (folder / "config.json").write_text("{}")
    (folder / "weights.safetensors").write_bytes(b"")
    (folder / "m.onnx").write_bytes(b"graph")
    sources = {"onnx": str(folder / "m.onnx"), "torch": "harness.spec:Placement", "hf": str(folder)}
    sources["hf-config"] = str(folder / "config.json")
    entry: Any = kind
    if kind in sources:
        entry = {"name": "own", kind: sources[kind], "inputs": {"x": {"shape": ["batch", 4], "dtype": "int64"}}}
    return _campaign(workloads=[entry], variants=["fp32"]).workloads[0]


@every_workload
def test_a_workload_is_a_value_with_a_quality(kind: str, tmp_path: Path) -> None:
    """It crosses the wire, is told apart by name and says what its quality means."""
    workload = _workload(kind, tmp_path)
    assert pickle.loads(pickle.dumps(workload)) == workload
    assert workload.name
    assert isinstance(workload.quality, Quality)
    assert workload.quality.name
    assert workload.form in set(Stage)
    assert isinstance(workload.trusted, bool)
    tokens = workload.tokens_per_inference if isinstance(workload, HasTokens) else None
    assert tokens is None or tokens > 0


@every_workload
def test_a_workloads_content_has_a_digest(kind: str, tmp_path: Path) -> None:
    """Its fields are plain values, and whatever lies outside them enters by a digest."""
    workload = _workload(kind, tmp_path)
    assert re.fullmatch(r"[0-9a-f]{64}|", workload.inputs_digest())
    campaign = _built("workloads", workload)
    assert re.fullmatch(r"[0-9a-f]{64}", content_hash(campaign))
    assert json.loads(to_json(campaign))["workloads"][0]["kind"] == kind


def _campaign(**changes: Any) -> Campaign:
    """A campaign of the catalog's own digits workload, read as a file would be."""
    values: Mapping[str, Any] = {
        "name": "contract",
        "workloads": ["digits-cnn"],
        "variants": ["fp32"],
        "scenarios": [{"load": "single-stream"}],
        **changes,
    }
    return load_campaign(values, trust=True)


def _built(part: str, value: Any) -> Campaign:
    """A campaign with one part put in as a value, past the loader."""
    campaign = dataclasses.replace(_campaign(), placements=(Placement(threads=1),))
    if part == "steps":
        return dataclasses.replace(campaign, variants=(Variant(name="v", engine=None, steps=(value,)),))
    return dataclasses.replace(campaign, **{part: (value,)})
