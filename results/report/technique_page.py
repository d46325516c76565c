"""A report of techniques as a page: what is fast, what is small, what it costs, and what really ran.

One table for each workload, its columns in two where a page is narrow. The module must not know who draws the page.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final

from results.report import energy, figures, wording
from results.report.columns import clean
from results.report.page import Heading, Page, Part, TextTable, without_blanks
from results.report.summary import Report
from results.report.techniques import Exits, Technique, Techniques, WorkloadTechniques

_BLANK: Final = frozenset({figures.MISSING, "1×", "ref"})
_WORDS: Final = {"never": "never", "unclear": "unclear"}
"""Outcomes of a break-even that say something without a number."""
_NICKNAMES: Final = {"float32": "fp32", "bfloat16": "bf16", "float16": "fp16"}
AGAIN: Final = "To measure it anew, run its campaign file with --fresh. To have this again, or look further:"

_PAIRED: Final = "latency, throughput: over the baseline's, paired by block, with 95% intervals"
_WEIGHTS: Final = "weights: what compressed weights take on disk, over fp32's for as many"
_APART: Final = "stored is on disk, peak RAM in use: one may fall without the other"
_CHANGE: Final = "Δ: against the quality reference, example by example"
_ENERGY: Final = "× J: joules per inference over the baseline's"
_BUILD: Final = "build: seconds and joules of chain and export"
_REPAID: Final = "break-even: inferences until the build's joules are saved"
_PRODUCTS: Final = "products: convolutions and matrix products of one query, by the arithmetic that ran"

_Cell = Callable[[Technique, WorkloadTechniques], str]
_Column = tuple[Heading, _Cell]


def page(techniques: Techniques, *, stacked: bool, last: tuple[Part, ...] = ()) -> Page:
    """The page.

    Args:
        techniques: what it tells.
        stacked: whether each workload's columns are to stand in several tables, one below the other.
        last: what is to follow.
    """
    report = techniques.report
    parts = [_workload(workload, stacked=stacked) for workload in techniques.workloads]
    parts += [
        Part(heading=heading, lines=lines)
        for heading, lines in (
            ("Energy", energy.lines(report)),
            ("Trials that did not end well", tuple(map(wording.ended, report.endings))),
            ("Warnings on figures", tuple(map(wording.flagged, report.flags))),
            ("Not told, and why", tuple(map(wording.missing, report.absences))),
            ("Machine", (*map(wording.machine, report.machines), *_instructions(techniques))),
            ("Run", wording.provenance(report)),
        )
        if lines
    ]
    return Page(
        title=f"{report.provenance.campaign}: techniques",
        cautions=(report.unfinished,) if report.unfinished else (),
        answers=tuple(workload.answer for workload in techniques.workloads) or (report.headline,),
        parts=(*parts, *last),
        again=AGAIN,
        commands=_commands(report),
    )


def _workload(workload: WorkloadTechniques, *, stacked: bool) -> Part:
    columns = (_speed_and_size(), _cost_and_evidence(workload), _verdict())
    first = columns[0][0]
    chosen = [columns[0], *((first, *group) for group in columns[1:])]
    if not stacked:
        chosen = [tuple(column for group in columns for column in group)]
    tables = tuple(_table(group, workload) for group in chosen)
    exits = (_exit_table(workload),) if workload.exits else ()
    return Part(
        heading=clean(f"{workload.workload} · {workload.device}"),
        tables=(*tables, *exits),
        notes=(*_notes(workload, tables), *(_exit_notes(workload) if exits else ())),
    )


def _table(columns: Sequence[_Column], workload: WorkloadTechniques) -> TextTable:
    rows = tuple(tuple(cell(one, workload) for _, cell in columns) for one in workload.techniques)
    bold = frozenset(number for number, one in enumerate(workload.techniques) if one.is_baseline)
    return without_blanks(TextTable(headings=tuple(heading for heading, _ in columns), rows=rows, bold=bold), _BLANK)


def _speed_and_size() -> tuple[_Column, ...]:
    return (
        (Heading(text="technique", numeric=False), _name),
        (Heading(text="engine", numeric=False, priority=9), lambda one, _: clean(one.engine)),
        (Heading(text="latency", note=_PAIRED), _latency),
        (Heading(text="throughput"), _throughput),
        (Heading(text="stored", priority=1), lambda one, _: figures.size(one.stored_bytes)),
        (Heading(text="× stored", priority=3), _stored_ratio),
        (Heading(text="weights", priority=4, note=_WEIGHTS), _weights),
        (Heading(text="peak RAM", priority=2, note=_APART), lambda one, _: figures.size(one.peak_rss_bytes)),
        (Heading(text="peak GPU", priority=5), lambda one, _: figures.size(one.peak_gpu_bytes)),
    )


def _cost_and_evidence(workload: WorkloadTechniques) -> tuple[_Column, ...]:
    first = workload.techniques[0]
    quality = "fidelity" if first.fidelity else (clean(first.quality_metric) or "quality")
    better = "" if first.quality_higher_is_better else f"; of {quality} less is better"
    return (
        (Heading(text=quality, priority=5), _quality),
        (Heading(text=f"Δ {quality}", note=f"{_CHANGE}{better}"), _quality_change),
        (Heading(text="× J", priority=2, note=_ENERGY), _energy_ratio),
        (Heading(text="build", priority=3, note=_BUILD), _build),
        (Heading(text="break-even", priority=4, note=_REPAID), _break_even),
        (Heading(text="products", numeric=False, note=_PRODUCTS), lambda one, _: one.kernels or figures.MISSING),
    )


def _verdict() -> tuple[_Column, ...]:
    return ((Heading(text="verdict", numeric=False), lambda one, _: clean(one.verdict or "not compared yet")),)


def _name(one: Technique, _: WorkloadTechniques) -> str:
    return clean(one.variant) + ("*" if one.is_baseline else "")


def _latency(one: Technique, _: WorkloadTechniques) -> str:
    return _bounded(one.latency_ratio, one.latency_ratio_lo, one.latency_ratio_hi)


def _throughput(one: Technique, _: WorkloadTechniques) -> str:
    return _bounded(one.throughput_ratio, one.throughput_ratio_lo, one.throughput_ratio_hi)


def _weights(one: Technique, _: WorkloadTechniques) -> str:
    return figures.MISSING if one.compressed_share is None else f"{one.compressed_share:.0%}"


def _bounded(ratio: float | None, lo: float | None, hi: float | None, method: str | None = None) -> str:
    """A ratio with its interval; the baseline's own, which is 1 by definition, without."""
    return "1×" if ratio == 1.0 and lo is None else figures.bounded_ratio(ratio, lo, hi, method)


def _stored_ratio(one: Technique, _: WorkloadTechniques) -> str:
    return "1×" if one.is_baseline else figures.ratio(one.stored_ratio)


def _quality(one: Technique, within: WorkloadTechniques) -> str:
    return figures.quality(one.quality, fraction=within.quality_is_fraction)


def _quality_change(one: Technique, within: WorkloadTechniques) -> str:
    fraction = within.quality_is_fraction
    if one.quality_delta == 0.0 and one.quality_lo is None:
        return "ref"
    changed = figures.quality_change(one.quality_delta, fraction=fraction)
    if one.quality_lo is None or one.quality_hi is None:
        return changed
    ends = [
        figures.quality_change(end, fraction=fraction).removesuffix(f"{figures.GAP}pt")
        for end in (one.quality_lo, one.quality_hi)
    ]
    return f"{changed}{figures.GAP}({ends[0]}{figures.GAP}to{figures.GAP}{ends[1]})"


def _energy_ratio(one: Technique, _: WorkloadTechniques) -> str:
    return _bounded(one.energy_ratio, one.energy_ratio_lo, one.energy_ratio_hi, one.energy_method)


def _build(one: Technique, _: WorkloadTechniques) -> str:
    if one.build_s is None:
        return figures.MISSING
    seconds = figures.latency(one.build_s) if one.build_s < 10 else figures.duration(one.build_s)
    joules = figures.energy(one.build_energy_j, one.build_energy_method)
    return seconds if joules == figures.MISSING else f"{seconds}, {joules}"


def _break_even(one: Technique, _: WorkloadTechniques) -> str:
    if one.break_even_inferences is not None:
        return figures.count(one.break_even_inferences)[0]
    return _WORDS.get(one.break_even_outcome or "", figures.MISSING)


def _notes(workload: WorkloadTechniques, tables: Sequence[TextTable]) -> Iterator[str]:
    base = workload.baseline
    if base is not None:
        loads = [
            f"{name}: {clean(scenario)}"
            for name, scenario in (("latency", base.latency_scenario), ("throughput", base.throughput_scenario))
            if scenario
        ]
        yield f"* baseline; {', '.join(loads)}"
    told = dict.fromkeys(heading.note for table in tables for heading in table.headings if heading.note)
    if told:
        yield "; ".join(told)
    powered = [one for one in workload.techniques if one.energy_ratio is not None or one.build_energy_j is not None]
    if any(not figures.is_measured(one.energy_method or one.build_energy_method) for one in powered):
        yield f"{figures.MODELLED} modelled, not measured: see Energy"


def _exit_table(workload: WorkloadTechniques) -> TextTable:
    """Where the examples left, beside what that is worth on the average and to the slowest."""
    headings = (
        Heading(text="early exit", numeric=False),
        Heading(text="leave at", numeric=False),
        Heading(text="examples by exit"),
        Heading(text="layers each"),
        Heading(text="mean"),
        Heading(text="p99"),
    )
    rows = [_exit_row(exits) for exits in workload.exits]
    base = workload.baseline
    if base is not None:
        dash = figures.MISSING
        told = (figures.latency(base.latency_mean_s), figures.latency(base.latency_p99_s))
        rows.insert(0, (f"{clean(base.variant)}*", dash, dash, dash, *told))
    bold = frozenset({0}) if base is not None else frozenset[int]()
    return without_blanks(TextTable(headings=headings, rows=tuple(rows), bold=bold), frozenset({figures.MISSING}))


def _exit_row(exits: Exits) -> tuple[str, ...]:
    one = exits.technique
    settings = ", ".join(f"{name} {value:g}" for name, value in exits.settings.items())
    return (
        clean(one.variant),
        clean(settings) or figures.MISSING,
        " / ".join(f"{share:.0%}" for share in exits.shares),
        figures.MISSING if exits.layers_per_example is None else f"{exits.layers_per_example:.2f}",
        figures.latency(one.latency_mean_s),
        figures.latency(one.latency_p99_s),
    )


def _exit_notes(workload: WorkloadTechniques) -> Iterator[str]:
    scenario = clean(workload.exits[0].technique.scenario or "")
    yield (
        f"examples by exit: shares of the test examples, the whole network's end last; mean and p99 under {scenario}, "
        "where p99 is that of those who leave late"
    )


def _instructions(techniques: Techniques) -> Iterator[str]:
    for node, sets in techniques.instruction_sets.items():
        told = ", ".join(f"{_NICKNAMES.get(precision, precision)} by {name}" for precision, name in sets.items())
        yield clean(f"{node}: {told or 'none of the instruction sets known here'}")


def _commands(report: Report) -> tuple[str, ...]:
    first, *rest = wording.look_further(report)
    return (f"{first} --techniques", first, *rest)
