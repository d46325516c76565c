"""One stored campaign against another: which two, and what their arms amount to.

Nothing is run. The two were measured at different times, so a host that has changed in between looks like a change of
the code: only trials of one kind of environment are held against each other. It must not know where a store lies.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from results.environments import same_environment
from results.errors import NoBaselineError, UsageError
from results.facts import Facts, FactStore, load_facts
from results.gate.finding import GateReport, Mode
from results.gate.judge import judge
from results.gate.rules import Policy
from results.gate.sides import Pair, pairs_of_campaigns, role_of
from results.records import CampaignRecord
from results.report.model import Source, find_campaign
from results.report.summary import Machine
from results.report.wording import machine, trials


def compare_stored(
    store: FactStore, reader: Source, *, policy: Policy, head: str | None = None, base: str | None = None
) -> GateReport:
    """Judge a stored campaign by an earlier one.

    Args:
        store: where their facts are.
        reader: of the same store.
        policy: the rules.
        head: the id, a beginning of it, or the name of the campaign that is judged; None takes the latest that is no
            gate's own run.
        base: the same of what it is held against; None takes the latest before it of the same name, in an environment
            that may be compared.

    Raises:
        NoBaselineError: if there is no such campaign.
        EnvironmentDiffersError: if the two ran in environments that must not be compared, naming the field.
        UsageError: if both are the same campaign.
    """
    after = load_facts(store, _head(store, reader, head))
    before = (
        load_facts(store, find_campaign(reader, base)["campaign_id"]) if base is not None else _earlier(store, after)
    )
    if before.campaign_id == after.campaign_id:
        fix = "name an earlier campaign; `joulemark list campaigns` shows them"
        raise UsageError("the campaign would be compared with itself", where=after.campaign_id, fix=fix)
    earlier, later, left_out = same_environment(before, after)
    pairs = pairs_of_campaigns(earlier, later)
    findings = judge(policy, pairs)
    if not findings:
        where = policy.rules[0].where if policy.rules else "rules"
        variants = ", ".join(dict.fromkeys(record.arm.variant for record in later.arms))
        raise UsageError("no rule covers any arm", where=where, fix=f"correct the patterns; there are {variants}")
    return GateReport(
        mode=Mode.BASELINE,
        base=before.campaign_id,
        head=after.campaign_id,
        findings=findings,
        campaign_ids=(before.campaign_id, after.campaign_id),
        environment=_environment(later),
        blocks=len({estimate.block for estimate in later.estimates}),
        notes=tuple(_notes(policy, left_out, pairs)),
    )


def _head(store: FactStore, reader: Source, wanted: str | None) -> str:
    if wanted is not None:
        return str(find_campaign(reader, wanted)["campaign_id"])
    return next(
        (c.campaign_id for c in reversed(store.campaigns()) if not _is_gate(store, c)),
        str(find_campaign(reader, None)["campaign_id"]),
    )


def _is_gate(store: FactStore, campaign: CampaignRecord) -> bool:
    """Whether its arms are the two sides of a paired run."""
    return any(role_of(record.arm.variant)[1] is not None for record in store.arms(campaign.campaign_id))


def _earlier(store: FactStore, head: Facts) -> Facts:
    """The latest campaign of the same name before the head's, where one may be compared with it."""
    stored = store.campaigns()
    index, this = next((i, c) for i, c in enumerate(stored) if c.campaign_id == head.campaign_id)
    before = [load_facts(store, c.campaign_id) for c in reversed(stored[:index]) if c.name == this.name]
    if not before:
        what = f"there is no campaign of the name {this.name} before it"
        fix = "run the campaign again later, or name another by --baseline"
        raise NoBaselineError(what, where=head.campaign_id, fix=fix)
    return next((facts for facts in before if _is_comparable(facts, head)), before[0])


def _is_comparable(base: Facts, head: Facts) -> bool:
    pairs = ((b, h) for b in base.environments.values() for h in head.environments.values())
    return any(not h.differences(b) for b, h in pairs)


def _environment(facts: Facts) -> str:
    """The host that the head's first trial ran on."""
    ran = next((facts.environments[e.environment_id] for e in facts.estimates), None)
    return machine(Machine(node=ran.hostname, environment=ran)) if ran is not None else ""


def _notes(policy: Policy, left_out: int, pairs: Sequence[Pair]) -> Iterator[str]:
    yield from policy.idle(pair.arm for pair in pairs)
    if left_out:
        yield f"{trials(left_out)} in an environment that the other side was not measured in: left out"
    if uncovered := len([pair for pair in pairs if not policy.covering(pair.arm)]):
        yield f"{uncovered} arm{'' if uncovered == 1 else 's'} that no rule covers"
