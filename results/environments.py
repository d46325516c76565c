"""Which trials of two campaigns may be held against each other: those of one kind of environment.

Environments are alike where no field that must not differ does. It must not know what is compared, nor how.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from results.derived import Estimate
from results.errors import EnvironmentDiffersError
from results.facts import Facts
from results.records import Environment


def kinds_of(environments: Iterable[Environment]) -> dict[str, int]:
    """Environment id → a number that environments which may be compared share."""
    firsts: list[Environment] = []
    kinds: dict[str, int] = {}
    for environment in environments:
        like = next((i for i, first in enumerate(firsts) if not environment.differences(first)), len(firsts))
        if like == len(firsts):
            firsts.append(environment)
        kinds[environment.environment_id] = like
    return kinds


def alike(
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


def refuse_other_environments(base: Facts, head: Facts) -> None:
    """Refuse two campaigns whose finished trials ran in environments that must not be compared.

    Raises:
        EnvironmentDiffersError: naming the field in which the two environments that are closest differ, and both
            values; nothing is raised where no two differ.
    """
    ran = [{e.environment_id for e in side.estimates} for side in (base, head)]
    befores, afters = (
        [environment for key, environment in side.environments.items() if key in used]
        for side, used in zip((base, head), ran, strict=True)
    )
    found = [(after.differences(before), after.hostname) for before in befores for after in afters]
    differing = [(fields, host) for fields, host in found if fields]
    if not differing:
        return
    closest, host = min(differing, key=lambda item: len(item[0]))
    name, (now, then) = next(iter(closest.items()))
    others = f" (and {len(closest) - 1} more fields)" if len(closest) > 1 else ""
    was, is_now = _telling(str(then), str(now))
    raise EnvironmentDiffersError(
        f"{name} differs: {was!r} before, {is_now!r} now{others}",
        where=host,
        fix="compare campaigns that ran in one environment: run the base again here",
    )


def _telling(before: str, after: str) -> tuple[str, str]:
    """Of two lists of words, such as libraries, only the words that differ."""
    first, second = before.split(), after.split()
    if len(first) < 4 or not set(first) & set(second):
        return before, after
    return " ".join(w for w in first if w not in second), " ".join(w for w in second if w not in first)
