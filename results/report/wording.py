"""The report's sentences that every renderer shares: captions, reasons, provenance.

It gives plain text; a renderer escapes it for its own format. It must not know which renderer asks.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Final

from results.report import figures
from results.report.columns import clean
from results.report.summary import Ended, Flag, Machine, Missing, Report, Table

NAMES_TOLD: Final = 3
"""Names that one line tells of figures missing for one reason; ``v_absences`` and JSON tell all."""
ENDINGS = {
    "failed": "failed",
    "timeout": "timed out",
    "oom": "ran out of memory",
    "crashed": "crashed",
    "cancelled": "was cancelled",
    "unsupported": "is not supported here",
}


def read_otherwise(report: Report) -> str | None:
    """That grams and money are not by the stored basis, where that is so."""
    if report.what_if is None:
        return None
    return "what-if: grams and money are told by another basis than the stored one, see Carbon; nothing was rerun"


def title(table: Table) -> str:
    """A table's heading."""
    return clean(f"{table.workload} · {table.scenario} · {table.device}")


def notes(table: Table) -> tuple[str, ...]:
    """What a reader needs to read one table."""
    lines = []
    if table.baseline is not None:
        bounded = any(row.speedup_lo is not None for row in table.rows)
        certainty = "95% interval in brackets" if bounded else "too few blocks for 95% intervals"
        lines.append(f"* baseline; speed-up is against it, paired by block, {certainty}")
        if bounded:
            lines.append(
                "faster and slower are said only where p, corrected for all of the campaign's arms, is at most 0.05"
            )
    if table.fidelity:
        lines.append("fidelity is agreement with the model's own fp32 answers, not with labels")
    elif table.reference is not None:
        lines.append(f"Δ quality is against {clean(table.reference)}, example by example")
    powered = [row for row in table.rows if row.energy_j_per_inference is not None]
    if any(not figures.is_measured(row.energy_method) for row in powered):
        lines.append(f"{figures.MODELLED} modelled, not measured: see Energy")
    legend = []
    if any(row.gco2e_per_1k is not None for row in table.rows):
        legend.append("CO2e/1k: per 1,000 inferences")
    if table.quality_is_fraction and any(row.quality_delta is not None for row in table.rows):
        legend.append("pt: percentage points")
    return (*lines, "; ".join(legend)) if legend else tuple(lines)


def missing(absence: Missing) -> str:
    """One line for a figure that is not there."""
    where = [", ".join(map(clean, names)) for names in (absence.variants, absence.scenarios) if names]
    who = f" ({'; '.join(where)})" if where else ""
    names = absence.metric.split(", ")
    more = f" and {len(names) - NAMES_TOLD} more" if len(names) > NAMES_TOLD + 1 else ""
    told = ", ".join(names[:NAMES_TOLD] if more else names) + more
    return f"{clean(told)}: {clean(absence.reason)}{who} — {trials(absence.trials)}"


def ended(ending: Ended) -> str:
    """One line for trials that did not end well."""
    arm = ending.arm
    what = ENDINGS.get(ending.status, ending.status)
    where = clean(f"{arm.variant} ({arm.engine}), {arm.workload} {arm.scenario} on {arm.device}")
    reason = f": {clean(ending.reason)}" if ending.reason else ""
    return f"{where} {what}{reason} — {trials(ending.trials)}"


def flagged(flag: Flag) -> str:
    """One line for a flag and what it means."""
    meaning = f": {flag.meaning}" if flag.meaning else ""
    who = f" ({', '.join(clean(v) for v in flag.variants)})" if flag.variants else ""
    return f"{clean(flag.name)}{meaning}{who} — {flag.trials:,} of {trials(flag.of_trials)}"


def machine(node: Machine) -> str:
    """One line for a node."""
    e = node.environment
    cores = f"{e.physical_cores} cores" + (
        f", {e.logical_cores} threads" if e.logical_cores != e.physical_cores else ""
    )
    parts = [e.cpu_model, cores, figures.size(e.memory_bytes)]
    parts += [f"{e.gpu_model} (driver {e.gpu_driver})"] if _is_told(e.gpu_model) else []
    parts += [e.virtualization] if _is_told(e.virtualization) else []
    parts += [e.container] if _is_told(e.container) else []
    return clean(f"{node.node}: {', '.join([*parts, e.os, 'Python ' + e.python])}")


def provenance(report: Report) -> tuple[str, ...]:
    """Which run this was, and how to have it again."""
    run = report.provenance
    shas = ", ".join(clean(sha) for sha in run.git_shas) or "not in a git repository"
    share = f"{run.measured_s / run.wall_s:.0%}" if run.wall_s > 0 else figures.MISSING
    return (
        f"campaign {clean(run.campaign)}, id {run.campaign_id}, seed {run.seed}, "
        f"started {run.started_at:%Y-%m-%d %H:%M} UTC",
        f"{run.trials_ok} of {trials(run.trials)} ok; measured {figures.duration(run.measured_s)} of "
        f"{figures.duration(run.wall_s)} in trials ({share})",
        f"code: {shas}",
    )


AGAIN = "To measure it anew, run its campaign file with --fresh. To look further into this run:"
"""In words, for a store does not know where the file lies."""


def look_further(report: Report, more: Sequence[str] = ()) -> tuple[str, ...]:
    """Commands that can be pasted as they are; ``more``, which know where the store lies, in their place."""
    this = shlex.quote(clean(report.provenance.campaign_id))
    return tuple(more) or (f"joulemark report {this}", f"joulemark report {this} --json")


def trials(count: int) -> str:
    """A number of trials in words."""
    return f"{count:,} trial{'' if count == 1 else 's'}"


def _is_told(text: str) -> bool:
    return text not in {"", "none", "unknown", "bare metal"}
