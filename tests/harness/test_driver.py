from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest

from harness.agent import Node
from harness.config import content_hash, load_campaign, to_json
from harness.driver import Driver, Silent
from harness.fleet import Built
from harness.plan import arms, plan
from harness.spec import Assignment, Campaign, Recipe
from results import connect
from results.errors import BuildError, ConfigError, EnvironmentDiffersError, JoulemarkError, UnsupportedError
from results.records import Artifact, CampaignRecord, RunRecord, Status
from results.store import Store
from tests.results.stored_facts import ENVIRONMENT, record


def node(name: str, **changes: Any) -> Node:
    return Node(name=name, environment=replace(ENVIRONMENT, hostname=name, **changes), cores=(0, 1), gpus=0)


@dataclass
class ScriptedFleet:
    """Builds and runs nothing, and remembers what it was asked for."""

    hosts: tuple[Node, ...] = (node("one"),)
    errors: Mapping[str, JoulemarkError] = field(default_factory=dict)
    """Engine → how its builds fail."""
    interrupt_after: int | None = None
    given: dict[str, list[Assignment]] = field(default_factory=dict)

    def nodes(self) -> tuple[Node, ...]:
        return self.hosts

    def build(self, recipes: Mapping[str, Recipe]) -> Iterator[Built]:
        for key, recipe in recipes.items():
            if recipe.engine in self.errors:
                yield Built(key=key, recipe=recipe, error=self.errors[recipe.engine])
            else:
                yield Built(key=key, recipe=recipe, artifact=artifact(key, recipe))

    def run(self, queues: Mapping[str, Sequence[Assignment]]) -> Iterator[RunRecord]:
        self.given = {name: list(queue) for name, queue in queues.items()}
        environments = {host.name: host.environment for host in self.hosts}
        for name, queue in queues.items():
            for number, one in enumerate(queue):
                if number == self.interrupt_after:
                    raise KeyboardInterrupt
                yield replace(
                    record(block=one.trial.key.block),
                    key=one.trial.key,
                    node=name,
                    environment=environments[name],
                    artifact_id=one.artifact.artifact_id,
                )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None


def artifact(key: str, recipe: Recipe) -> Artifact:
    return Artifact(
        artifact_id=key,
        workload=recipe.workload.name,
        engine=recipe.engine,
        chain="[]",
        stored_bytes=1000,
        parameters=10,
        nonzero=10,
        build_s=0.1,
        build_energy_j=None,
        toolchain="",
    )


class Listening(Silent):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


def campaign(**keys: Any) -> Campaign:
    return load_campaign(
        {
            "name": "driven",
            "workloads": ["digits-cnn"],
            "variants": ["fp32", {"name": "ort", "engine": "onnxruntime"}],
            "scenarios": [{"load": "single-stream"}],
            "repeats": 4,
            **keys,
        }
    )


Drive = Callable[..., Mapping[Status, int]]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store.duckdb")


def drive(store: Store, fleet: ScriptedFleet, made: Campaign, progress: Silent | None = None) -> Mapping[Status, int]:
    this = CampaignRecord(
        campaign_id="driven-1",
        name=made.name,
        content_hash=content_hash(made),
        spec=to_json(made),
        seed=made.seed,
        started_at=datetime.now(UTC),
        reference="fp32",
        baseline=made.baseline,
        carbon=None,
    )
    driver = Driver(campaign=this, store=store, fleet=fleet, progress=progress or Silent(), planned=arms(made))
    trials = plan(made, this.campaign_id, store.attempts(this.campaign_id))
    return driver.drive(trials, already=0)


def rows(store: Store, query: str) -> list[tuple[Any, ...]]:
    with connect(store.path) as reader:
        return reader.sql(query).fetchall()


def test_blocks_go_whole_to_like_nodes_in_turn(store: Store) -> None:
    """Two nodes of one kind share the blocks; no block is split, since pairs are made within it."""
    fleet = ScriptedFleet(hosts=(node("one"), node("two")))
    drive(store, fleet, campaign())
    blocks = {name: {a.trial.key.block for a in queue} for name, queue in fleet.given.items()}
    assert blocks == {"one": {0, 2}, "two": {1, 3}}
    assert {name: len(queue) for name, queue in fleet.given.items()} == {"one": 4, "two": 4}


def test_a_node_of_another_kind_is_left_out_and_told(store: Store) -> None:
    """A node whose processor differs gets no trial, and the note names the field."""
    fleet, told = ScriptedFleet(hosts=(node("one"), node("odd", cpu_model="Another"))), Listening()
    drive(store, fleet, campaign(), told)
    assert set(fleet.given) == {"one"}
    assert any("odd" in note and "cpu_model" in note for note in told.notes)


def test_a_placement_may_name_the_node(store: Store) -> None:
    """Named, the odd node is measured beside the other, as a device of its own."""
    fleet = ScriptedFleet(hosts=(node("one"), node("odd", cpu_model="Another")))
    drive(store, fleet, campaign(placements=[{"device": "cpu"}, {"device": "cpu", "node": "odd"}]))
    assert {name: len(queue) for name, queue in fleet.given.items()} == {"one": 8, "odd": 8}
    assert rows(store, "SELECT DISTINCT device FROM v_trials WHERE node = 'odd'") == [("cpu/all@odd",)]


def test_an_unknown_node_is_refused(store: Store) -> None:
    """The message lists the nodes there are."""
    with pytest.raises(ConfigError, match="use one of: one"):
        drive(store, ScriptedFleet(), campaign(placements=[{"device": "cpu", "node": "two"}]))
    assert not store.path.exists(), "bad input leaves the store untouched"


def test_what_cannot_be_built_is_a_row_with_its_reason(store: Store) -> None:
    """An unsupported arm and a failed one are recorded without being run; the others go on."""
    fleet = ScriptedFleet(errors={"onnxruntime": UnsupportedError("no kernel for it")})
    statuses = drive(store, fleet, campaign())
    assert statuses == {Status.OK: 4, Status.UNSUPPORTED: 4}
    told = rows(store, "SELECT DISTINCT variant, reason FROM v_trials WHERE status = 'unsupported'")
    assert told == [("ort", "no kernel for it")]
    failing = ScriptedFleet(errors={"onnxruntime": BuildError("the compiler fell over")})
    other = Store(store.path.with_name("other.duckdb"))
    assert drive(other, failing, campaign()) == {Status.OK: 4, Status.FAILED: 4}


def test_a_model_that_cannot_be_used_stops_the_run_before_anything_is_stored(store: Store) -> None:
    """The user's own broken model is an error of the campaign, not a row for each trial."""
    fleet = ScriptedFleet(errors={"torch": ConfigError("is no sound graph", where="broken.onnx")})
    with pytest.raises(ConfigError, match="no sound graph"):
        drive(store, fleet, campaign())
    assert not store.path.exists()


def test_a_run_is_not_resumed_on_a_changed_machine(store: Store) -> None:
    """The error names the field that differs; nothing is added."""
    made = campaign()
    with pytest.raises(KeyboardInterrupt):
        drive(store, ScriptedFleet(interrupt_after=3), made)
    changed = ScriptedFleet(hosts=(node("one", libraries="torch==9"),))
    with pytest.raises(EnvironmentDiffersError, match="libraries"):
        drive(store, changed, made)
    assert rows(store, "SELECT count(*) FROM v_trials") == [(4,)]


def test_a_run_is_not_resumed_on_another_kind_of_machine(store: Store) -> None:
    """A node of another name is held to what the run began on, too; one placed by its name is not."""
    made = campaign()
    with pytest.raises(KeyboardInterrupt):
        drive(store, ScriptedFleet(interrupt_after=3), made)
    other = ScriptedFleet(hosts=(node("other", cpu_model="Another"),))
    with pytest.raises(EnvironmentDiffersError, match="cpu_model"):
        drive(store, other, made)
    assert drive(store, ScriptedFleet(hosts=(node("twin"),)), made) == {Status.OK: 5}


def test_a_run_is_not_resumed_with_another_artifact(store: Store) -> None:
    """Once an arm was measured as one artifact, changed code asks for a fresh run."""
    made = campaign()
    with pytest.raises(KeyboardInterrupt):
        drive(store, ScriptedFleet(interrupt_after=3), made)
    known = store.arms("driven-1")
    stored = store.campaigns()[0]
    store.begin(stored, [replace(record, artifact_id="0" * 20) for record in known])
    with pytest.raises(EnvironmentDiffersError, match="--fresh"):
        drive(store, ScriptedFleet(), made)


def test_an_interrupt_records_the_trial_in_flight(store: Store) -> None:
    """Three trials are ok, the fourth is cancelled, and the next run finishes the campaign with it."""
    made = campaign()
    with pytest.raises(KeyboardInterrupt):
        drive(store, ScriptedFleet(interrupt_after=3), made)
    counted = rows(store, "SELECT status, count(*) FROM v_trials GROUP BY 1 ORDER BY 1")
    assert counted == [("cancelled", 1), ("ok", 3)]
    assert drive(store, ScriptedFleet(), made) == {Status.OK: 5}
    assert rows(store, "SELECT n_trials FROM v_summary ORDER BY 1") == [(4,), (4,)]


def test_comparisons_are_there_after_a_run(store: Store) -> None:
    """Each arm has its verdict, in SQL as in the report."""
    drive(store, ScriptedFleet(), campaign())
    assert rows(store, "SELECT count(*) FROM v_comparisons WHERE verdict <> ''") == [(2,)]
