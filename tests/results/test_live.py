"""What a live page and Prometheus say of a store."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from results import connect
from results.compare import refresh
from results.records import Arm, ArmRecord, CampaignRecord, Method, RunRecord
from results.report import live, prometheus
from results.report.columns import VERDICT, columns
from results.report.live import CampaignLine, Interim
from results.report.model import build
from results.report.summary import Table
from results.report.web.pages import Listed, Message, Pages, State
from results.store import Store
from tests.results.stored_facts import (
    ARTIFACT,
    FP32,
    INT8,
    STARTED,
    arm_record,
    campaign,
    comparison,
    failure,
    metric,
    record,
)

SPEC = '{"repeats": 3}'
NASTY = "</script><img src=x onerror=alert(1)>{{7*7}} `b` \"q\" 'a' \u202e\\ \n🚀"


def trial(arm: Arm, block: int, campaign_id: str = "c1") -> RunRecord:
    metrics = [metric("latency_p50_s", 0.25 + 0.01 * block), metric("throughput_per_s", 4.0), metric("quality", 0.9)]
    if arm == INT8:
        metrics.append(metric("energy_j_per_inference", 0.5, Method.MODELLED))
    return record(arm, block, campaign_id=campaign_id, metrics=tuple(metrics))


def begin(store: Store, told: CampaignRecord, arms: tuple[ArmRecord, ...] = (arm_record(), arm_record(INT8))) -> None:
    store.begin(told, arms)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Four of six trials, one of them failed, and no comparison yet."""
    kept = Store(tmp_path / "s.duckdb")
    begin(kept, campaign(spec=SPEC))
    for made in (trial(FP32, 0), trial(INT8, 0), trial(FP32, 1), failure(INT8, 1)):
        kept.write(made)
    return kept


def read(store: Store) -> tuple[CampaignLine, Interim]:
    with connect(store.path) as reader:
        line = live.lines(reader)[0]
        return line, live.standings(reader, [line])[line.campaign_id]


def test_a_line_tells_how_far_a_campaign_is(store: Store) -> None:
    """Trials by how their latest attempt ended, against those planned, and about how long the rest takes."""
    line, _ = read(store)
    assert (line.reached, line.planned, line.block, line.blocks) == (4, 6, 2, 3)
    assert (line.ended, line.failed) == ({"crashed": 1, "ok": 3}, 1)
    assert not line.is_complete
    assert line.left_s == pytest.approx(2 * 3.5)
    assert line.started_at == STARTED.replace(tzinfo=None)


def test_a_second_attempt_stands_for_the_first(store: Store) -> None:
    """A trial that was tried again counts once, as it ended at last."""
    store.write(replace(trial(INT8, 1), key=replace(trial(INT8, 1).key, attempt=2)))
    line, _ = read(store)
    assert (line.reached, line.ended, line.failed) == (4, {"ok": 4}, 0)


def test_a_campaign_that_does_not_tell_its_blocks_has_no_plan(tmp_path: Path) -> None:
    """Nothing is said to be left of it."""
    store = Store(tmp_path / "s.duckdb")
    begin(store, campaign())
    line, interim = read(store)
    assert (line.planned, line.left_s, line.is_complete, line.last_at) == (None, None, False, None)
    assert [len(table.rows) for table in interim.tables] == [2]


def test_a_mark_changes_with_whatever_a_table_shows(store: Store) -> None:
    """A trial, a comparison, another basis of carbon: each; another campaign: not."""
    marks = [read(store)[0].mark]
    store.write(trial(FP32, 2))
    marks.append(read(store)[0].mark)
    store.write_comparisons("c1", [comparison()])
    marks.append(read(store)[0].mark)
    store.write_comparisons("c1", [comparison(speedup=3.0)])
    marks.append(read(store)[0].mark)
    begin(store, campaign(spec=SPEC, carbon=None))
    marks.append(read(store)[0].mark)
    assert len(set(marks)) == len(marks)
    begin(store, campaign("c0", spec=SPEC, name="older", started_at=STARTED.replace(year=2020)))
    assert read(store)[0].mark == marks[-1]


def test_the_tables_are_those_of_the_report(store: Store) -> None:
    """Cell for cell, and the same headline."""
    store.write_artifact("c1", "int8", ARTIFACT)
    refresh(store, "c1")
    _, interim = read(store)
    with connect(store.path) as reader:
        report = build(reader)
    assert interim.headline == report.headline

    def cells(tables: Iterable[Table]) -> list[str]:
        return [
            column.cell(row, table) for table in tables for row in table.rows for column in (*columns(table), VERDICT)
        ]

    assert cells(interim.tables) == cells(report.tables)


def test_campaigns_do_not_mix(store: Store) -> None:
    """Tables of several campaigns, read at once, are what they are one by one."""
    begin(store, campaign("c2", spec=SPEC, started_at=STARTED.replace(year=2027)))
    store.write(trial(INT8, 0, "c2"))
    with connect(store.path) as reader:
        lines = live.lines(reader)
        together = live.standings(reader, lines)
        alone = {line.campaign_id: live.standings(reader, [line])[line.campaign_id] for line in lines}
    assert [line.campaign_id for line in lines] == ["c2", "c1"]
    assert together == alone


def test_the_latest_trials_come_newest_first(store: Store) -> None:
    """With their first figures, or the reason why there is none; and what failed is told apart."""
    late = failure(INT8, 1)
    store.write(replace(late, key=replace(late.key, attempt=2), started_at=STARTED + timedelta(hours=1)))
    store.write(replace(trial(FP32, 2), started_at=STARTED + timedelta(hours=2)))
    with connect(store.path) as reader:
        newest, second, *_ = live.recent(reader, "c1")
        endings = live.endings(reader, "c1")
    assert (newest.arm, newest.block, newest.status, newest.latency_p50_s) == (FP32, 3, "ok", 0.27)
    assert (second.arm, second.block, second.reason, second.latency_p50_s) == (INT8, 2, "killed by signal 9", None)
    assert [(one.arm, one.status, one.trials) for one in endings] == [(INT8, "crashed", 2)]


def exposition(store: Store, *, is_running: bool = False) -> str:
    with connect(store.path) as reader:
        newest = prometheus.latest_of_each_name(live.lines(reader))
        interims = live.standings(reader, newest)
    measured = [
        prometheus.Measured(line=line, interim=interims[line.campaign_id], is_running=is_running) for line in newest
    ]
    return prometheus.render(measured, store_bytes=4096).decode()


def samples(text: str) -> dict[str, list[tuple[dict[str, str], float]]]:
    return {
        family.name: [(one.labels, one.value) for one in family.samples]
        for family in text_string_to_metric_families(text)
    }


def test_prometheus_reads_base_units_and_how_they_were_obtained(store: Store) -> None:
    """Each family has its help and type, each arm its labels; quantiles and methods are labels too."""
    refresh(store, "c1")
    text = exposition(store, is_running=True)
    told = samples(text)
    here = {"campaign": "quick", "workload": "digits", "scenario": "single-stream", "device": "cpu/1t"}
    fp32, int8 = here | {"variant": "fp32", "engine": "torch"}, here | {"variant": "int8", "engine": "onnxruntime"}
    assert told["joulemark_latency_seconds"] == [
        (fp32 | {"quantile": "0.5"}, 0.255),
        (int8 | {"quantile": "0.5"}, 0.25),
    ]
    assert told["joulemark_energy_joules_per_inference"] == [(int8 | {"method": "modelled"}, 0.5)]
    assert told["joulemark_co2e_grams_per_1000_inferences"] == [
        (int8 | {"method": "modelled"}, pytest.approx(1000 * 0.5 * 60 * 1.2 / 3.6e6))
    ]
    assert told["joulemark_quality"] == [(fp32 | {"metric": "accuracy"}, 0.9), (int8 | {"metric": "accuracy"}, 0.9)]
    assert told["joulemark_trials"] == [
        ({"campaign": "quick", "status": "crashed"}, 1),
        ({"campaign": "quick", "status": "ok"}, 3),
    ]
    assert told["joulemark_trials_planned"] == [({"campaign": "quick"}, 6)]
    assert told["joulemark_campaign_running"] == [({"campaign": "quick"}, 1)]
    assert told["joulemark_store_bytes"] == [({}, 4096)]
    for name in told:
        assert f"# HELP {name} " in text
        assert f"# TYPE {name} gauge\n" in text


def test_prometheus_is_told_nothing_of_what_is_missing(store: Store) -> None:
    """No sample stands for a figure that is not there, and no family for figures that nobody has."""
    told = samples(exposition(store))
    assert "joulemark_speedup_ratio" not in told
    assert "joulemark_peak_memory_bytes" not in told
    assert not [labels for labels, _ in told["joulemark_latency_seconds"] if labels["quantile"] == "0.99"]


def test_prometheus_is_told_of_the_newest_campaign_of_a_name(store: Store) -> None:
    """An older run of the same name is left out; another name is not."""
    begin(store, campaign("c2", spec=SPEC, started_at=STARTED.replace(year=2027)))
    begin(store, campaign("c3", spec=SPEC, name="other", started_at=STARTED.replace(year=2025)))
    info = samples(exposition(store))["joulemark_campaign_info"]
    assert [labels["campaign_id"] for labels, _ in info] == ["c2", "c3"]


def test_prometheus_reads_any_name_as_it_was_written(tmp_path: Path) -> None:
    """Quotes, backslashes and line breaks in a variant's name survive the format."""
    store = Store(tmp_path / "s.duckdb")
    nasty = replace(INT8, variant=NASTY)
    begin(store, campaign(name=NASTY), (arm_record(nasty),))
    store.write(trial(nasty, 0))
    labels, _ = samples(exposition(store))["joulemark_latency_seconds"][0]
    assert (labels["variant"], labels["campaign"]) == (NASTY, NASTY)


def listed(store: Store, state: State) -> Listed:
    line, interim = read(store)
    return Listed(line=line, state=state, interim=interim)


def live_page(store: Store, state: State = State.UNFINISHED) -> str:
    with connect(store.path) as reader:
        recent, endings = live.recent(reader, "c1"), live.endings(reader, "c1")
    return Pages().live(listed(store, state), recent, endings, state="s")


def test_nothing_from_a_store_is_markup(tmp_path: Path) -> None:
    """Names and reasons are shown as they are, in the list, in tables and among failures; templates do not run."""
    store = Store(tmp_path / "s.duckdb")
    nasty = replace(INT8, variant=NASTY, workload=NASTY, scenario=NASTY)
    begin(store, campaign(name=NASTY, spec=SPEC), (arm_record(nasty, quality_metric=NASTY),))
    store.write(trial(nasty, 0))
    store.write(replace(failure(nasty, 1), reason=NASTY))
    line, interim = read(store)
    interim = replace(interim, headline=f"On cpu, `{NASTY.replace('`', '')}` is faster")
    one = Listed(line=line, state=State.FINISHED, interim=interim)
    with connect(store.path) as reader:
        recent, endings = live.recent(reader, "c1"), live.endings(reader, "c1")
    pages = Pages()
    message = Message(title=NASTY, lines=(NASTY,), links=(("/", NASTY),))
    for page in (
        pages.live(one, recent, endings, state="s"),
        pages.index([one], total=1, store=NASTY, state="s"),
        pages.message(message, state="s"),
    ):
        assert "<img" not in page
        assert page.count("</script>") == 1
        assert "49" not in page
        assert "&lt;img src=x onerror=alert(1)&gt;{{7*7}}" in page


@pytest.mark.parametrize(
    ("state", "told", "not_told"),
    [
        (State.RUNNING, ["4 of 6 trials, block 2 of 3, about 7 s left", "3 ok, 1 crashed"], ["no driver is at work"]),
        (State.UNFINISHED, ["4 of 6 trials, block 2 of 3", "no driver is at work"], ["left", "So far"]),
    ],
)
def test_a_page_tells_how_far_a_campaign_is(store: Store, state: State, told: list[str], not_told: list[str]) -> None:
    """What is left is said while a driver is at work; without one, how to go on."""
    page = live_page(store, state).replace("\u00a0", " ")
    for words in told:
        assert words in page
    for words in not_told:
        assert f"{words}<" not in page
        assert f"{words}:" not in page


def test_no_verdict_is_told_before_there_can_be_one(store: Store) -> None:
    """While the first block runs, that no baseline finished would be said of what has not been tried."""
    assert "No verdict yet" in live_page(store, State.RUNNING)
    refresh(store, "c1")
    assert "No verdict yet" not in live_page(store, State.RUNNING)


def test_a_failed_trial_shows_why(store: Store) -> None:
    """Among the latest trials, and in a list with all of one reason."""
    page = live_page(store)
    assert page.count("killed by signal 9") == 2
    assert "Trials that did not end well" in page


def test_the_newest_of_many_campaigns_are_shown(store: Store) -> None:
    """With how many there are, and where the others stand."""
    page = Pages().index([listed(store, State.FINISHED)], total=40, store="s", state="s")
    assert "1 of 40" in page
    assert 'href="/?all=1"' in page
