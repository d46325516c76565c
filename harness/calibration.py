"""``joulemark gate calibrate``: every arm of a campaign against itself, and what that says of this host.

It must not know how noise becomes a tolerance.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from harness.driver import Progress, Silent
from harness.paired.matchup import against_itself
from harness.paired.run import run_paired
from harness.runner import default_db, find_campaign, store_of
from results.choice.measures import find_measure
from results.errors import NoBaselineError, UsageError
from results.facts import load_facts
from results.gate.noise import FEWEST_BLOCKS, NoiseFloor, noises, suggestion
from results.gate.rules import DEFAULT_TOLERANCE, Bound, Policy, Rule
from results.gate.sides import pairs_of_run
from results.report.summary import Machine
from results.report.wording import machine

BLOCKS: Final = 20


def calibrate(  # noqa: PLR0913 - a notebook's entry point: every keyword has a default
    campaign: Path | str | Mapping[str, Any],
    *,
    db: Path | str | None = None,
    blocks: int = BLOCKS,
    policy: Policy | None = None,
    overrides: Sequence[str] = (),
    trust: bool = False,
    progress: Progress | None = None,
) -> NoiseFloor:
    """Run every arm of a campaign against itself and tell what rules this host can keep.

    Args:
        campaign: a file, a shipped campaign's name, or a mapping of a file's keys.
        db: the store; see :func:`harness.runner.default_db`.
        blocks: of the run.
        policy: whose blocks and false discovery rate the gates will have; the default's if None.
        overrides: ``dotted.key=value``, as the command line's ``--set``.
        trust: allow workloads that run the user's own code.
        progress: told what happens, between trials.

    Raises:
        UsageError: if the campaign or the store cannot be used, or blocks are too few.
        NoBaselineError: if no arm ran often enough to tell anything.
        FleetError: if trials cannot be run; what was recorded stands.
        StoreError: if a record could not be written; what was recorded before stands.
    """
    if blocks < FEWEST_BLOCKS:
        fix = f"give {FEWEST_BLOCKS} or more; 20 tell something"
        raise UsageError(f"{blocks} blocks tell nothing of noise", where="--blocks", fix=fix)
    begun = time.monotonic()
    store_path = Path(db) if db is not None else default_db()
    source = find_campaign(campaign).resolve() if isinstance(campaign, str | Path) else campaign
    rule = Rule(bound=Bound.MAX_INCREASE, limit=DEFAULT_TOLERANCE, measure=find_measure("latency_p50", where=""))
    every = Policy(rules=(rule,), blocks=blocks, confirm_blocks=0)
    run = run_paired(
        every,
        against_itself(source, overrides=tuple(overrides), trust=trust),
        db=store_path,
        progress=progress or Silent(),
        all_controls=True,
    )
    pairs = pairs_of_run(load_facts(store_of(store_path), run.campaign_id))
    asked = policy or Policy(rules=())
    found = noises([pair for pair in pairs if pair.base is not None and pair.control is not None], policy=asked)
    if not found:
        fix = f"see why by `joulemark report {run.campaign_id}`"
        raise NoBaselineError("no arm ran often enough to tell its noise", fix=fix)
    name = str(campaign) if isinstance(campaign, str | Path) else str(campaign.get("name", "campaign"))
    return NoiseFloor(
        campaign_id=run.campaign_id,
        campaign=name,
        environment=machine(Machine(node=run.node.name, environment=run.node.environment)),
        blocks=run.blocks,
        wall_s=time.monotonic() - begun,
        gate_blocks=(asked.blocks, asked.confirm_blocks),
        noises=found,
        suggestion=suggestion(_as_written(source, name), found, asked),
    )


def _as_written(source: Path | Mapping[str, Any], name: str) -> str | None:
    """What a rule file may say for the campaign from wherever it lies; None for one that is in no file."""
    if not isinstance(source, Path):
        return None
    return name if find_campaign(Path(name)) != Path(name) else str(source)
