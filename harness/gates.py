"""Has it got worse: the notebook's way into the gate, in its three modes.

Paired runs both sides here and now, baseline holds one stored campaign against another, history looks over all of a
branch. It must not know how a finding is come by, nor how it is shown.
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from harness.campaign_file import read
from harness.driver import Progress, Silent
from harness.gate_file import GateFile, load_gate_file
from harness.git import Repository, find_repository
from harness.paired.matchup import Question, matched
from harness.paired.run import run_paired
from harness.runner import default_db, find_campaign
from results.errors import UsageError
from results.gate.finding import GateReport, Mode
from results.gate.rules import Policy
from results.report.summary import Machine
from results.report.wording import machine


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """What was asked, with what the rules' file says where the caller does not."""

    rules: Path | None
    policy: Policy
    db: Path
    base: str | None
    head: str | None
    campaign: Path | str | Mapping[str, Any] | None
    baseline: str | None
    branch: str | None
    overrides: tuple[str, ...]
    trust: bool

    def command(self, **options: str | bool | None) -> str:
        """The command that asks the same, of the options given and those that all modes share."""
        words = ["joulemark", "gate", "--rules", str(self.rules) if self.rules is not None else "RULES"]
        campaign = None if isinstance(self.campaign, Mapping) else self.campaign
        for name, value in {**options, "campaign": campaign, "db": self.db}.items():
            if value is True:
                words.append(f"--{name}")
            elif value not in {None, False}:
                words += [f"--{name}", str(value)]
        for override in self.overrides:
            words += ["--set", override]
        return shlex.join([*words, "--trust"] if self.trust else words)


def gate(  # noqa: PLR0913 - the notebook's entry point: every keyword has a default
    rules: Path | str | Mapping[str, Any] | Policy,
    *,
    db: Path | str | None = None,
    base: str | None = None,
    head: str | None = None,
    campaign: Path | str | Mapping[str, Any] | None = None,
    baseline: str | None = None,
    history: bool = False,
    branch: str | None = None,
    overrides: Sequence[str] = (),
    trust: bool = False,
    progress: Progress | None = None,
) -> GateReport:
    """Tell whether anything has got worse, by rules.

    With ``base`` both sides run here, interleaved; with ``baseline``, or with neither, stored campaigns are held
    against each other; with ``history`` lasting changes are looked for over all of them.

    Args:
        rules: a rules' file, a mapping of the same keys, or the rules themselves.
        db: the store; see :func:`harness.runner.default_db`.
        base: what the head is held against: a git revision, a variant of the campaign, an ``.onnx`` file, or a built
            artifact's id or folder. None takes what the rules' file says.
        head: the other side, of the same kind; None takes what the rules' file says, else the working tree as it is.
        campaign: what to run: a file, a shipped campaign's name or a mapping of a file's keys; of stored campaigns, the
            id or name of the one that is judged, the latest if None.
        baseline: the id or name of a stored campaign; where neither it nor ``base`` is given, the latest before the
            head's of the same name and environment.
        history: whether to look at all stored campaigns.
        branch: with ``history``, whose commits; None takes the one that is checked out, if there is a repository.
        overrides: ``dotted.key=value``, as the command line's ``--set``.
        trust: allow workloads that run the user's own code.
        progress: told what happens, between trials.

    Raises:
        UsageError: if rules, names, campaign or store cannot be used, or nothing says what to compare.
        NoBaselineError: if there is no stored campaign to compare with.
        EnvironmentDiffersError: if two stored campaigns ran in environments that must not be compared.
        FleetError: if trials cannot be run; what was recorded stands.
        StoreError: if a record could not be written; what was recorded before stands.
    """
    begun = time.monotonic()
    file = _rules(rules)
    stored = history or baseline is not None
    asked = _Asked(
        rules=Path(rules) if isinstance(rules, str | Path) else None,
        policy=file.policy,
        db=Path(db) if db is not None else default_db(),
        base=base if base is not None or stored else file.base,
        head=head if head is not None or stored else file.head,
        campaign=campaign if campaign is not None else file.campaign,
        baseline=baseline,
        branch=branch,
        overrides=tuple(overrides),
        trust=trust,
    )
    _refuse_contradictions(asked, history=history)
    if history:
        report = _history(asked)
    elif asked.base is not None:
        report = _paired(asked, progress or Silent())
    else:
        report = _baseline(asked)
    return replace(report, wall_s=time.monotonic() - begun)


def _rules(given: Path | str | Mapping[str, Any] | Policy) -> GateFile:
    if isinstance(given, Policy):
        return GateFile(policy=given)
    return load_gate_file(given if isinstance(given, Mapping) else Path(given))


def _refuse_contradictions(asked: _Asked, *, history: bool) -> None:
    if history and asked.baseline is not None:
        raise UsageError("one gate has one mode", where="--history and --baseline", fix="choose one")
    if (history or asked.baseline is not None) and asked.base is not None:
        mode = "--history" if history else "--baseline"
        fix = f"leave out --base, or {mode}, which judges what is stored"
        raise UsageError("one gate has one mode", where=f"{mode} and --base", fix=fix)
    if asked.base is None and asked.head is not None:
        raise UsageError("nothing says what it is held against", where="--head", fix="add --base")
    if asked.branch is not None and not history:
        raise UsageError("a branch is looked at in history mode", where="--branch", fix="add --history")
    if asked.base is None and (asked.overrides or asked.trust):
        option = "--set" if asked.overrides else "--trust"
        fix = f"leave out {option}, or give --base to run both sides"
        raise UsageError("stored campaigns are judged and nothing is run", where=option, fix=fix)


def _paired(asked: _Asked, progress: Progress) -> GateReport:
    assert asked.base is not None, "a paired run has a base"
    question = Question(
        base=asked.base, head=asked.head, campaign=asked.campaign, overrides=asked.overrides, trust=asked.trust
    )
    with matched(question) as matchup:
        run = run_paired(asked.policy, matchup, db=asked.db, progress=progress)
    return GateReport(
        mode=Mode.PAIRED,
        base=matchup.base,
        head=matchup.head,
        findings=run.findings,
        campaign_ids=(run.campaign_id,),
        environment=machine(Machine(node=run.node.name, environment=run.node.environment)),
        blocks=run.blocks,
        notes=run.notes,
        command=asked.command(base=asked.base, head=asked.head),
    )


def _baseline(asked: _Asked) -> GateReport:
    from results import connect
    from results.gate.stored import compare_stored
    from results.store import Store

    with connect(asked.db) as reader:
        report = compare_stored(
            Store(asked.db), reader, policy=asked.policy, head=_stored_name(asked.campaign), base=asked.baseline
        )
    return replace(report, command=asked.command(baseline=asked.baseline))


def _history(asked: _Asked) -> GateReport:
    from results import connect
    from results.gate.history import history

    repository = _repository(asked)
    shas, branch = None, asked.branch
    if repository is not None:
        branch = branch or repository.branch()
        shas = repository.commits(branch or "HEAD", first_parent=True)
    with connect(asked.db) as reader:
        report = history(reader, policy=asked.policy, shas=shas, branch=branch, campaign=_stored_name(asked.campaign))
    return replace(report, command=asked.command(history=True, branch=asked.branch))


def _repository(asked: _Asked) -> Repository | None:
    """The current folder's; none where there is none and no branch was asked for."""
    try:
        return find_repository(Path.cwd())
    except UsageError:
        if asked.branch is not None:
            raise
        return None


def _stored_name(campaign: Path | str | Mapping[str, Any] | None) -> str | None:
    """What stored campaigns of a campaign's file are called; what is no file is a name or an id already."""
    if campaign is None:
        return None
    if isinstance(campaign, Mapping):
        return str(campaign.get("name"))
    try:
        file = find_campaign(campaign)
    except UsageError:
        return str(campaign)
    root = read(file).root if file.is_file() else None
    return str(root["name"]) if isinstance(root, dict) and "name" in root else str(campaign)
