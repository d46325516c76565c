"""``joulemark recommend``: what is asked on the command line, handed to :func:`results.recommend`.

It must not decide anything that a notebook would want to decide as well.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from harness.command_line import Screen, db_option, guarded, json_option, print_json


@click.command(
    "recommend",
    epilog="\b\nExamples:\n"
    "joulemark recommend --max latency_p99=50ms --max quality_drop=1% --minimize gco2e_per_1k\n"
    "joulemark recommend --min quality=0.9 --minimize latency_p50:2 --minimize energy_j_per_inference:1",
)
@click.option("--max", "maximum", multiple=True, metavar="METRIC=QUANTITY", help="Keep a figure at most at this.")
@click.option("--min", "minimum", multiple=True, metavar="METRIC=QUANTITY", help="Keep a figure at least at this.")
@click.option("--minimize", multiple=True, metavar="METRIC[:WEIGHT]", help="Rank by having little of it.")
@click.option("--maximize", multiple=True, metavar="METRIC[:WEIGHT]", help="Rank by having much of it.")
@click.option(
    "--campaign", "campaign_id", metavar="ID", help="An id, a prefix of it or a name; the latest if not given."
)
@click.option("--workload", metavar="PATTERN", help="Only these, as digits*.")
@click.option("--scenario", metavar="PATTERN", help="Only these, as offline*.")
@click.option("--device", metavar="PATTERN", help="Only these, as cpu*.")
@db_option
@json_option
@guarded
def recommend_command(maximum: Sequence[str], minimum: Sequence[str], db: Path, as_json: bool, **asked: Any) -> None:
    """Tell which variant to take: the best that keeps the limits, how sure that is, and why no other.

    Without --minimize or --maximize, arms are ranked by what ranks them under their load: p50 latency or throughput.
    Ends with 0 where every workload, load and device has a winner, and with 3 where one has none: nothing keeps the
    limits, the best cannot be told apart, or no baseline finished.
    """
    from results import connect, recommend
    from results.choice.requirements import split_bound
    from results.report import recommendation

    upper = [split_bound(text, option="--max") for text in maximum]
    lower = [split_bound(text, option="--min") for text in minimum]
    with connect(db) as reader:
        found = recommend(reader, maximum=upper, minimum=lower, **asked)
    if as_json:
        print_json(recommendation.as_json(found))
    else:
        recommendation.render(found, Screen())
    sys.exit(found.exit_code)
