"""From a campaign file, or a mapping, to a validated :class:`~harness.spec.Campaign`, and to its identity.

Whatever is wrong is gathered and told at once, each problem with its place, its value and what to do next. This
module must not know how a campaign is run.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from harness.campaign_file import Document, from_mapping, override, read, refuse, shown
from harness.campaign_reader import Reader
from harness.catalog import Catalog, load_catalog
from harness.rules import problems
from harness.spec import Campaign
from harness.variants.protocol import HasControl
from results.basis import CarbonBasis
from results.errors import ConfigError
from results.records import canonical_json, digest

CONTROL_SUFFIX: Final = "-control"


def load_campaign(
    source: Path | Mapping[str, Any] | Campaign,
    *,
    overrides: Sequence[str] = (),
    catalog: Catalog | None = None,
    trust: bool = False,
) -> Campaign:
    """Read and validate a campaign.

    Args:
        source: a YAML file, the same as a mapping, or a campaign made in Python, which is checked too.
        overrides: ``dotted.key=value`` assignments, as ``budget.min_duration_s=2`` or ``variants.0.name=x``.
        catalog: the plug-ins to name; those installed by default.
        trust: whether workloads may run the user's own code.

    Raises:
        ConfigError: if anything in it cannot be used; the message tells file, key, value and what to do.
        UsageError: if an installed plug-in is broken.
    """
    catalog = catalog or load_catalog()
    if isinstance(source, Campaign):
        if overrides:
            raise ConfigError("a Campaign takes no overrides", where="campaign", fix="use dataclasses.replace")
        campaign = with_controls(dataclasses.replace(source, trust=trust or source.trust))
        refuse(Document(source="campaign", folder=Path.cwd(), root=None), problems(campaign, catalog))
        return campaign
    document = from_mapping(source) if isinstance(source, Mapping) else read(Path(source))
    override(document, overrides)
    if not isinstance(document.root, dict):
        raise ConfigError(
            f"holds {shown(document.root)}, not a campaign", where=document.source, fix="begin it with `name:`"
        )
    reader = Reader(document, catalog)
    campaign_or_none = reader.campaign(trust=trust)
    refuse(document, reader.problems)
    assert campaign_or_none is not None, "a campaign without problems has all its parts"
    refuse(document, problems(campaign_or_none, catalog))
    return with_controls(campaign_or_none)


def with_controls(campaign: Campaign) -> Campaign:
    """The campaign with the control of every variant that needs one, unless the same chain is in it already."""
    variants = list(campaign.variants)
    for variant in campaign.variants:
        steps = tuple(step.control() if isinstance(step, HasControl) else step for step in variant.steps)
        control = dataclasses.replace(variant, name=f"{variant.name}{CONTROL_SUFFIX}", steps=steps)
        there = {(other.engine, other.steps, other.workloads) for other in variants}
        if (control.engine, control.steps, control.workloads) not in there:
            variants.append(control)
    return dataclasses.replace(campaign, variants=tuple(variants))


def content_hash(campaign: Campaign) -> str:
    """What identifies a campaign's content: 64 hexadecimal digits.

    Equal for the same content however it was written down and wherever its files lie: files a workload is made
    from enter by their digest, not by their path. What is only used in reading, the baseline and what turns joules into
    grams and money, is left out: to change it, nothing is measured again.
    """
    content = _content(campaign)
    for entry, workload in zip(content["workloads"], campaign.workloads, strict=True):
        paths = [key for key in entry if is_files(getattr(workload, key, None))]
        entry.update(dict.fromkeys(paths), digest=workload.inputs_digest())
    for read_later in ("baseline", "carbon", "embodied", "price"):
        del content[read_later]
    return digest(content)


def is_files(value: object) -> bool:
    """Whether a workload's setting names files, which are told by their content and not by where they lie."""
    values = value if isinstance(value, tuple) else (value,)
    return bool(values) and all(isinstance(item, Path) for item in values)


def to_json(campaign: Campaign) -> str:
    """The campaign as canonical JSON, every default written out."""
    return canonical_json(_content(campaign))


def _content(campaign: Campaign) -> dict[str, Any]:
    return {
        "name": campaign.name,
        "workloads": [{"kind": workload.kind, **_settings(workload)} for workload in campaign.workloads],
        "variants": [
            {
                "name": variant.name,
                "engine": variant.engine,
                "steps": [{step.name: _settings(step)} for step in variant.steps],
                **{key: list(names) for key in ("workloads", "scenarios") if (names := getattr(variant, key))},
            }
            for variant in campaign.variants
        ],
        "scenarios": [{"load": load.name, **_settings(load)} for load in campaign.scenarios],
        "placements": [dataclasses.asdict(placement) for placement in campaign.placements],
        "repeats": campaign.repeats,
        "seed": campaign.seed,
        "baseline": campaign.baseline,
        "budget": dataclasses.asdict(campaign.budget),
        "carbon": _carbon(campaign),
        "embodied": dataclasses.asdict(campaign.embodied) if campaign.embodied else None,
        "price": dataclasses.asdict(campaign.price) if campaign.price else None,
    }


def _carbon(campaign: Campaign) -> dict[str, Any] | None:
    """An intensity's fields, or a source's, which alone has a ``source``."""
    carbon = campaign.carbon
    if carbon is None:
        return None
    return _settings(carbon) if isinstance(carbon, CarbonBasis) else {"source": carbon.kind, **_settings(carbon)}


def _settings(plugin: Any) -> dict[str, Any]:
    """A plug-in's fields as plain values; those that do not take part in equality are not settings."""
    names = [field.name for field in dataclasses.fields(plugin) if field.compare]
    plain: dict[str, Any] = json.loads(canonical_json({name: _plain(getattr(plugin, name)) for name in names}))
    return plain


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, (set, frozenset)):
        return sorted(_plain(item) for item in value)
    return value
