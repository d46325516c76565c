"""Progress for people: a live panel on a terminal, plain lines elsewhere.

Nothing is drawn while a trial is timed: the panel is refreshed between trials only, so its clock does not tick. It
must not know how trials are run.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any, Final, Self

from rich.console import Console, Group
from rich.live import Live
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.text import Text

from harness.fleet import Built
from harness.spec import Keyed
from results.errors import UnsupportedError
from results.records import Arm, RunRecord, Status
from results.report.figures import duration, latency, rate

_MARKS: Final = {Status.OK: "✓", Status.UNSUPPORTED: "–"}


class LiveProgress:
    """Shows builds, blocks, the current arm, the last result and the time left.

    Args:
        console: where to draw; it decides between the panel and plain lines.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TextColumn("{task.fields[left]}"),
            auto_refresh=False,
            console=console,
        )
        self._task = self._bar.add_task("starting", total=None, left="")
        self._now, self._last = Text(""), Text("")
        self._live = Live(console=console, auto_refresh=False, transient=True)
        self._blocks = self._total = self._done = self._already = 0
        self._began = time.monotonic()

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def note(self, text: str) -> None:
        """Print a line that stays."""
        self._print(f"note: {escape(text)}", style="yellow")

    def building(self, recipes: int) -> None:
        """Begin to count builds."""
        self._total = recipes
        self._bar.update(self._task, description="building", total=recipes, completed=0)
        self._show(f"building {recipes} artifacts (or finding them in the cache)")

    def built(self, built: Built) -> None:
        """Count one build; a failed one stays on the screen."""
        self._bar.advance(self._task)
        chain = "+".join(step.name for step in built.recipe.steps) or "fp32"
        name = f"{built.recipe.workload.name} {chain} ({built.recipe.engine})"
        if built.error is not None:
            verb = "is unsupported here" if isinstance(built.error, UnsupportedError) else "could not be built"
            self.note(f"{name} {verb}: {built.error}")
        else:
            self._show(f"built {name}")

    def begin(self, trials: Sequence[Keyed], already: int) -> None:
        """Begin to count trials."""
        self._already, self._total, self._done = already, already + len(trials), already
        self._blocks = 1 + max((t.key.block for t in trials), default=0)
        self._began = time.monotonic()
        self._bar.update(self._task, description="trials", total=self._total, completed=already)
        if not trials:
            self._print(f"all {already} trials are recorded already; --fresh runs them again")
        elif already:
            self._print(f"resuming: {already} of {self._total} trials are recorded already")

    def start(self, trial: Keyed) -> None:
        """Name the arm that is about to be timed."""
        self._now = Text(f"now   {_arm(trial.key.arm)}", overflow="ellipsis", no_wrap=True)
        self._bar.update(self._task, description=f"block {trial.key.block + 1}/{self._blocks}")
        self._show(None)

    def record(self, record: RunRecord) -> None:
        """Count one trial and tell its result."""
        self._done += 1
        spent_s = time.monotonic() - self._began
        left_s = spent_s / (self._done - self._already) * (self._total - self._done)
        left = f"{duration(left_s)} left" if self._done < self._total else ""
        self._bar.update(self._task, completed=self._done, left=left)
        said = f"{_MARKS.get(record.status, '✗')} {_arm(record.key.arm)}  {_result(record)}"
        self._last = Text(f"last  {said}", overflow="ellipsis", no_wrap=True)
        counted = f"[{self._done}/{self._total}] block {record.key.block + 1}/{self._blocks}"
        self._show(f"{counted}  {said}  {left}".rstrip())

    def _show(self, line: str | None) -> None:
        if self._console.is_terminal:
            with suppress(BrokenPipeError):
                self._live.update(Group(self._bar, self._now, self._last), refresh=True)
        elif line is not None:
            self._print(escape(line), soft_wrap=True)

    def _print(self, text: str, **options: Any) -> None:
        """Say it, if anybody still listens: a closed pipe must not end a campaign."""
        with suppress(BrokenPipeError):
            self._console.print(text, highlight=False, **options)


def _arm(arm: Arm) -> str:
    return f"{arm.workload}  {arm.variant}  {arm.scenario}  {arm.device}"


def _result(record: RunRecord) -> str:
    if record.status is not Status.OK:
        return f"{record.status}: {(record.reason or '').splitlines()[0]}"
    figures = {metric.name: metric.value for metric in record.metrics}
    shown = []
    if "latency_p50_s" in figures:
        shown.append(f"p50 {latency(figures['latency_p50_s'])}")
    if "throughput_per_s" in figures:
        shown.append(f"{rate(figures['throughput_per_s'])}")
    return "  ".join(shown)
