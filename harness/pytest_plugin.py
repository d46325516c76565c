"""pytest's side of the gate: ``--joulemark-gate FILE`` adds an item a finding, ``joulemark_timing`` times a callable.

pytest imports this in every session of an environment that has Joulemark, so it must import nothing heavy until it is
asked for something. It must not decide anything: findings are the gate's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

if TYPE_CHECKING:
    from results.gate.finding import Finding, GateReport

DEFAULT_DB: Final = ".joulemark-timing.duckdb"
_PROPERTY: Final = "joulemark"


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options of both."""
    group = parser.getgroup("joulemark", "benchmark gate")
    group.addoption("--joulemark-gate", metavar="FILE", help="Run the gate of these rules; one test item a finding.")
    group.addoption("--joulemark-base", metavar="REF", help="With --joulemark-gate: what the head is held against.")
    group.addoption("--joulemark-head", metavar="REF", help="With --joulemark-gate: what is judged.")
    group.addoption("--joulemark-db", metavar="PATH", help=f"The store; of timings, {DEFAULT_DB} beside the ini file.")
    group.addoption("--joulemark-trust", action="store_true", help="Allow workloads that run your own code.")
    group.addoption("--joulemark-strict", action="store_true", help="Fail what is inconclusive or has no baseline.")
    group.addoption("--joulemark-update", action="store_true", help="Take what is timed now as the new baseline.")


def pytest_configure(config: pytest.Config) -> None:
    """Refuse what would measure two things at once, and a rule file that cannot be used."""
    given = config.getoption("--joulemark-gate")
    if given is None:
        return
    if getattr(config.option, "numprocesses", None) or hasattr(config, "workerinput"):
        raise pytest.UsageError("joulemark: a gate measures, and nothing may run beside it; leave out -n")
    from harness.gate_file import load_gate_file
    from results.errors import JoulemarkError

    try:
        load_gate_file(Path(given))
    except JoulemarkError as error:
        raise pytest.UsageError(f"joulemark: {error}") from error


def pytest_collection_modifyitems(session: pytest.Session, config: pytest.Config, items: list[pytest.Item]) -> None:
    """Run the gate once, and add its findings; with ``--collect-only`` nothing is run."""
    given = config.getoption("--joulemark-gate")
    if given is None or config.getoption("collectonly"):
        return
    report = _gate(config, Path(given))
    config.stash[_REPORT] = report
    rules = GateRules.from_parent(session, name=Path(given).name, nodeid=Path(given).name)
    taken: dict[str, int] = {}
    for finding in report.findings:
        arm = finding.arm
        name = f"{finding.rule.name} [{arm.workload}/{arm.variant}/{arm.scenario}/{arm.device}]"
        taken[name] = taken.get(name, 0) + 1
        unique = name if taken[name] == 1 else f"{name} {taken[name]}"
        items.append(GateItem.from_parent(rules, name=unique, finding=finding))


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """One line for each timing, and for what a gate was held against."""
    report = config.stash.get(_REPORT, None)
    told = [
        value
        for reports in terminalreporter.stats.values()
        for one in reports
        for name, value in getattr(one, "user_properties", ())
        if name == _PROPERTY and getattr(one, "when", "") == "call"
    ]
    if report is None and not told:
        return
    terminalreporter.section("joulemark")
    if report is not None:
        terminalreporter.write_line(f"{report.head} against {report.base}: {report.verdict.value}")
        for note in report.notes:
            terminalreporter.write_line(note)
    for line in told:
        terminalreporter.write_line(line)


@pytest.fixture
def joulemark_timing(request: pytest.FixtureRequest) -> Callable[..., Finding]:
    """Time a callable against another, or against its stored figure, and fail the test where it has got slower.

    ``joulemark_timing(head, base=None, *, name=None, metric="latency_p50", max_increase="2%", blocks=6,
    confirm_blocks=10, seconds=0.25, min_calls=64, timeout_s=60)`` gives the finding. Every side of every block runs
    in a process of its own, forked from this one: a thread pool that was used before does not survive that.
    """
    item = request.node
    count = 0

    def timing(  # noqa: PLR0913 - the test's entry point: every keyword has a default
        head: Callable[[], object],
        base: Callable[[], object] | None = None,
        *,
        name: str | None = None,
        metric: str = "latency_p50",
        max_increase: str | float = "2%",
        blocks: int = 6,
        confirm_blocks: int = 10,
        seconds: float = 0.25,
        min_calls: int = 64,
        timeout_s: float = 60.0,
    ) -> Finding:
        nonlocal count
        count += 1
        from harness.forked import Allowance
        from harness.timing import Asked, against_stored, compare
        from results.errors import JoulemarkError

        for role, call in (("head", head), ("base", base)):
            if call is not None and not callable(call):
                pytest.fail(f"joulemark: {role} is {call!r}, which cannot be called", pytrace=False)
        asked = Asked(
            test=item.nodeid,
            name=name or f"{getattr(head, '__name__', type(head).__name__)}{'' if count == 1 else f'-{count}'}",
            metric=metric,
            max_increase=max_increase,
            blocks=blocks,
            confirm_blocks=confirm_blocks,
            allowance=Allowance(seconds=seconds, min_calls=min_calls, timeout_s=timeout_s),
        )
        db = Path(request.config.getoption("--joulemark-db") or request.config.rootpath / DEFAULT_DB)
        try:
            if base is None:
                update = bool(request.config.getoption("--joulemark-update"))
                finding = against_stored(asked, head, db=db, update=update)
            else:
                finding = compare(asked, head, base, db=db)
        except JoulemarkError as error:
            pytest.fail(f"joulemark: {error}", pytrace=False)
        item.user_properties.append((_PROPERTY, f"{asked.name}: {_sentence(finding)}"))
        _end(finding, strict=bool(request.config.getoption("--joulemark-strict")), skip=False)
        return finding

    return timing


class GateRules(pytest.Collector):
    """The rule file, as the findings' parent."""

    def collect(self) -> Iterator[pytest.Item]:
        """Nothing: findings are added when the gate has run."""
        return iter(())


class GateItem(pytest.Item):
    """One finding as a test."""

    def __init__(self, *, finding: Finding, **given: Any) -> None:
        super().__init__(**given)
        self._finding = finding

    def runtest(self) -> None:
        """Pass, fail or skip, as the finding says."""
        _end(self._finding, strict=bool(self.config.getoption("--joulemark-strict")), skip=True)

    def reportinfo(self) -> tuple[Path, int | None, str]:
        """The rule file."""
        return self.path, None, self.name


_REPORT: Final = pytest.StashKey["GateReport"]()


def _gate(config: pytest.Config, rules: Path) -> GateReport:
    from harness.gates import gate
    from results.errors import JoulemarkError

    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if reporter is not None:
        reporter.write_line(f"joulemark: measuring for {rules.name} …", flush=True)
    db = config.getoption("--joulemark-db")
    try:
        return gate(
            rules,
            db=Path(db) if db else None,
            base=config.getoption("--joulemark-base"),
            head=config.getoption("--joulemark-head"),
            trust=bool(config.getoption("--joulemark-trust")),
        )
    except JoulemarkError as error:
        raise pytest.UsageError(f"joulemark: {error}") from error


def _end(finding: Finding, *, strict: bool, skip: bool) -> None:
    """Fail for a regression; skip or let pass what could not be told, unless that is to fail too."""
    from results.gate.finding import Verdict

    unsure = finding.verdict in {Verdict.INCONCLUSIVE, Verdict.NO_BASELINE}
    if finding.verdict is Verdict.REGRESSED or (unsure and strict):
        pytest.fail(_sentence(finding), pytrace=False)
    if unsure and skip:
        pytest.skip(_sentence(finding))


def _sentence(finding: Finding) -> str:
    following = f" → {finding.next_step}" if finding.next_step else ""
    return f"{finding.verdict.value}: {finding.reason}{following}"
