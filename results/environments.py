"""Which trials of two campaigns may be held against each other: those of one kind of environment.

Environments are alike where no field that must not differ does. It must not know what is compared, nor how.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from results.derived import Estimate
from results.errors import EnvironmentDiffersError
from results.facts import Facts, by_arm
from results.records import Arm, Environment


def same_environment(base: Facts, head: Facts) -> tuple[Facts, Facts, int]:
    """Both campaigns' facts with, of each arm that finished in both, the trials of one kind of environment alone.

    An arm that has none in common keeps its trials: :func:`other_environment` tells why they must not be compared.

    Returns:
        The base's facts, the head's, and how many trials were left out, or must not be compared.

    Raises:
        EnvironmentDiffersError: if arms finished in both campaigns, and none of them in environments alike.
    """
    before, after = by_arm(base.estimates), by_arm(head.estimates)
    kinds = _kinds([*base.environments.values(), *head.environments.values()])
    shared = [arm for arm in after if arm in before]
    left_out = apart = 0
    for arm in shared:
        earlier, later = _alike(before[arm], after[arm], kinds)
        left_out += len(before[arm]) + len(after[arm]) - len(earlier) - len(later)
        if earlier:
            before[arm], after[arm] = list(earlier), list(later)
        else:
            apart += 1
    if shared and apart == len(shared):
        refuse_other_environments(base, head)
    return _with(base, before), _with(head, after), left_out


def other_environment(base: Facts, head: Facts, arm: Arm) -> str:
    """In what the environments differ in which an arm finished; empty where some may be compared."""
    sides = [replace(facts, estimates=by_arm(facts.estimates).get(arm, [])) for facts in (base, head)]
    try:
        refuse_other_environments(*sides)
    except EnvironmentDiffersError as error:
        return error.what
    return ""


def refuse_other_environments(base: Facts, head: Facts) -> None:
    """Refuse two campaigns none of whose finished trials ran in environments that may be compared.

    Raises:
        EnvironmentDiffersError: naming the field in which the two environments that are closest differ, and both
            values.
    """
    ran = [{e.environment_id for e in side.estimates} for side in (base, head)]
    befores, afters = (
        [environment for key, environment in side.environments.items() if key in used]
        for side, used in zip((base, head), ran, strict=True)
    )
    found = [(after.differences(before), after.hostname) for before in befores for after in afters]
    if not found or not all(fields for fields, _ in found):
        return
    closest, host = min(found, key=lambda item: len(item[0]))
    name, (now, then) = next(iter(closest.items()))
    others = f" (and {len(closest) - 1} more fields)" if len(closest) > 1 else ""
    was, is_now = _telling(str(then), str(now))
    raise EnvironmentDiffersError(
        f"{name} differs: {was!r} before, {is_now!r} now{others}",
        where=host,
        fix="compare campaigns that ran in one environment: run the base again here",
    )


def _kinds(environments: Iterable[Environment]) -> dict[str, int]:
    """Environment id → a number that environments which may be compared share."""
    firsts: list[Environment] = []
    kinds: dict[str, int] = {}
    for environment in environments:
        like = next((i for i, first in enumerate(firsts) if not environment.differences(first)), len(firsts))
        if like == len(firsts):
            firsts.append(environment)
        kinds[environment.environment_id] = like
    return kinds


def _alike(
    before: Sequence[Estimate], after: Sequence[Estimate], kinds: Mapping[str, int]
) -> tuple[Sequence[Estimate], Sequence[Estimate]]:
    """Both sides' trials of the kind of environment in which both ran the most; nothing where there is none."""
    ran = [Counter(kinds.get(e.environment_id) for e in side) for side in (before, after)]
    both = ran[0].keys() & ran[1].keys()
    kind = max(both, key=lambda k: (min(ran[0][k], ran[1][k]), -1 if k is None else -k), default=None)
    if kind not in both:
        return (), ()
    chosen = [[e for e in side if kinds.get(e.environment_id) == kind] for side in (before, after)]
    return chosen[0], chosen[1]


def _with(facts: Facts, estimates: Mapping[Arm, Sequence[Estimate]]) -> Facts:
    return replace(facts, estimates=[estimate for of_arm in estimates.values() for estimate in of_arm])


def _telling(before: str, after: str) -> tuple[str, str]:
    """Of two lists of words, such as libraries, only the words that differ."""
    first, second = before.split(), after.split()
    if len(first) < 4 or not set(first) & set(second):
        return before, after
    return " ".join(w for w in first if w not in second), " ".join(w for w in second if w not in first)
