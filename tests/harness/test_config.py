from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from collectors.grid_live import ElectricityMaps, UkCarbonIntensity
from collectors.grid_series import SeriesSource
from harness.config import content_hash, load_campaign, to_json
from harness.spec import Budget, Campaign, Placement, Variant
from results.basis import CarbonBasis, Embodied, Price
from results.errors import ConfigError
from tests.harness.plugins import (
    Cast,
    Digits,
    Factory,
    Graph,
    InBulk,
    Input,
    OneByOne,
    Prune,
    Quantize,
    Teach,
    small_campaign,
    small_catalog,
)

CATALOG = small_catalog()
QUICKSTART = Path(__file__).parents[2] / "scenarios" / "campaigns" / "quickstart.yaml"


def _load(source: Any = None, /, **changes: Any) -> Campaign:
    return load_campaign({**small_campaign(), **changes} if source is None else source, catalog=CATALOG)


def _error(source: Any = None, /, *, overrides: tuple[str, ...] = (), **changes: Any) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        load_campaign(
            {**small_campaign(), **changes} if source is None else source, overrides=overrides, catalog=CATALOG
        )
    return caught.value


def _file(folder: Path, text: str | bytes) -> Path:
    path = folder / "mine.yaml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def test_a_campaign_is_read_in_full() -> None:
    """Every key of the file ends in the field that is named for it."""
    assert _load() == Campaign(
        name="small",
        workloads=(Digits(),),
        variants=(
            Variant(name="fp32", engine=None),
            Variant(name="fp32-ort", engine="onnxruntime"),
            Variant(name="bf16", engine=None, steps=(Cast(dtype="bfloat16"),)),
            Variant(name="sparse-int8", engine="onnxruntime", steps=(Prune(ratio=0.7), Quantize())),
        ),
        scenarios=(OneByOne(), InBulk()),
        placements=(Placement(threads=1),),
        repeats=3,
        seed=7,
        budget=Budget(min_duration_s=0.5, min_queries=16),
        carbon=CarbonBasis(
            intensity_g_per_kwh=50.0, region="fixed", provider="given in the campaign", year=None, pue=1.2
        ),
        carbon_absence=None,
    )


def test_what_is_left_out_takes_the_defaults() -> None:
    """Name, workloads, variants and scenarios are a whole campaign."""
    values = {key: small_campaign()[key] for key in ("name", "workloads", "variants", "scenarios")}
    campaign = _load(values)
    assert (campaign.repeats, campaign.seed, campaign.baseline) == (5, 0, "best-fp32")
    assert (campaign.placements, campaign.budget) == ((Placement(threads=1),), Budget())
    assert (campaign.carbon, campaign.carbon_absence) == (None, "no `carbon:` in the campaign")


def test_the_shipped_quickstart_is_valid_with_what_is_shipped() -> None:
    """The file that a newcomer runs first names only what is there: eight variants, two loads, eight blocks."""
    campaign = load_campaign(QUICKSTART)
    assert [variant.name for variant in campaign.variants] == [
        "fp32",
        "fp32-compiled",
        "fp32-ort",
        "bf16",
        "int8-dynamic",
        "int8",
        "pruned",
        "sparse-int8",
    ]
    assert [load.label for load in campaign.scenarios] == ["single-stream/1", "offline/32"]
    assert (campaign.repeats, campaign.placements) == (8, (Placement(threads=1),))
    assert isinstance(campaign.carbon, CarbonBasis)
    assert (campaign.carbon.region, campaign.carbon.pue) == ("FRA", 1.0)


def test_a_bare_recipe_is_a_variant_of_one_step() -> None:
    """`prune-unstructured` alone is that step, with its defaults, on the default engine."""
    assert _load(variants=["prune-unstructured"]).variants == (
        Variant(name="prune-unstructured", engine=None, steps=(Prune(),)),
    )


def test_lists_become_the_tuples_that_steps_declare() -> None:
    """A step's fields are checked against its own types."""
    steps = [{"int8-static": {"skip": ["a", "b"], "per_channel": False}}]
    campaign = _load(variants=[{"name": "q", "engine": "onnxruntime", "steps": steps}])
    assert campaign.variants[0].steps == (Quantize(per_channel=False, skip=("a", "b")),)


def test_own_models_are_workloads_with_paths_relative_to_the_file(tmp_path: Path) -> None:
    """`onnx: models/mine.onnx` is looked for beside the campaign file, wherever the command runs."""
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "mine.onnx").write_text("graph")
    own = {"name": "mine", "onnx": "models/mine.onnx", "inputs": {"x": {"shape": ["batch", 3], "dtype": "int64"}}}
    values = {**small_campaign(), "workloads": [own], "variants": ["fp32"]}
    campaign = _load(_file(tmp_path, yaml.safe_dump(values)))
    assert campaign.workloads == (
        Graph(
            name="mine",
            path=tmp_path / "models" / "mine.onnx",
            inputs={"x": Input(shape=("batch", 3), dtype="int64")},
        ),
    )


def test_a_workload_may_be_given_settings() -> None:
    """`{digits-cnn: {epochs: 2}}` sets fields of the workload's dataclass."""
    assert _load(workloads=[{"digits-cnn": {"epochs": 2}}]).workloads == (Digits(epochs=2),)


def test_own_code_runs_only_when_trusted() -> None:
    """A factory of the user's is refused without --trust, and taken with it."""
    own = {"name": "net", "torch": "mine.models:make", "inputs": {"x": {"shape": ["batch", 4]}}}
    values = {**small_campaign(), "workloads": [own]}
    error = _error(values)
    assert (error.where, error.what) == ("campaign: workloads[0].torch", "`net` runs code of its own")
    assert "--trust" in str(error)
    campaign = load_campaign(values, catalog=CATALOG, trust=True)
    assert campaign.trust
    assert campaign.workloads == (
        Factory(name="net", factory="mine.models:make", inputs={"x": Input(shape=("batch", 4))}),
    )


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"device": "cpu", "threads": "all"}, Placement(threads=None)),
        ({"threads": 4, "node": "box"}, Placement(threads=4, node="box")),
        ({"device": "cuda", "index": 1}, Placement(device="cuda", index=1)),
    ],
)
def test_placements(given: dict[str, Any], expected: Placement) -> None:
    """`threads: all` takes every core of the node."""
    assert _load(placements=[given]).placements == (expected,)


def test_a_fixed_warmup_is_in_seconds() -> None:
    """`warmup: 1.5` warms up so long; `auto` waits for a steady state."""
    assert _load(budget={"warmup": 1.5}).budget.warmup_s == 1.5
    assert _load(budget={"warmup": "auto"}).budget.warmup_s is None


def test_a_region_is_looked_up() -> None:
    """A country's intensity comes with its source, and the overhead is the campaign's."""
    carbon = _load(carbon={"region": "FRA", "pue": 1.4}).carbon
    assert isinstance(carbon, CarbonBasis)
    assert (carbon.region, carbon.pue) == ("FRA", 1.4)
    assert 0 < carbon.intensity_g_per_kwh < 1000


def test_what_makes_grams_and_money_of_a_machine_is_read() -> None:
    """The embodied part in grams and seconds, alone or beside an intensity, and the price of a kilowatt-hour."""
    embodied = {"total_kgco2e": 1200, "lifespan_years": 4, "share": 0.5}
    campaign = _load(carbon={"embodied": embodied}, cost={"price_per_kwh": 0.30, "currency": "EUR"})
    assert campaign.embodied == Embodied(total_g=1.2e6, lifespan_s=4 * 365.25 * 86_400, share=0.5)
    assert campaign.price == Price(per_kwh=0.30, currency="EUR")
    assert (campaign.carbon, campaign.carbon_absence) == (None, "no intensity in `carbon:`")
    both = _load(carbon={"region": "FRA", "embodied": embodied})
    assert isinstance(both.carbon, CarbonBasis)
    assert (both.embodied, both.carbon_absence) == (campaign.embodied, None)


def test_a_series_lies_beside_the_campaign_file(tmp_path: Path) -> None:
    """Its path is relative to the file, and a row that cannot be used is told before anything runs."""
    rows = "time,intensity_g_per_kwh\n2026-01-01T00:00Z,100\n2026-01-01T01:00Z,{}\n"
    (tmp_path / "grid.csv").write_text(rows.format(300))
    values = {**small_campaign(), "carbon": {"series": "grid.csv", "region": "DEU", "pue": 1.1}}
    file = _file(tmp_path, yaml.safe_dump(values))
    assert _load(file).carbon == SeriesSource(series=tmp_path / "grid.csv", region="DEU", pue=1.1)
    (tmp_path / "grid.csv").write_text(rows.format("many"))
    error = _error(file)
    assert (error.where or "").startswith("mine.yaml: carbon.series (line ")
    assert "grid.csv, line 3" in error.what


def test_a_live_provider_is_named_and_its_token_is_not_stored(monkeypatch: pytest.MonkeyPatch) -> None:
    """Provider and zone are kept with the run, whatever the case they are typed in; the token is nowhere."""
    monkeypatch.setenv("ELECTRICITYMAPS_TOKEN", "a-secret")
    campaign = _load(carbon={"provider": "electricity-maps", "zone": "de"})
    assert campaign.carbon == ElectricityMaps(zone="DE")
    stored = to_json(campaign)
    assert json.loads(stored)["carbon"] == {"source": "electricity-maps", "zone": "DE", "pue": 1.0}
    assert "a-secret" not in stored + repr(campaign)
    assert _load(carbon={"provider": "uk-carbon-intensity"}).carbon == UkCarbonIntensity()
    assert _load(carbon={"provider": "uk-carbon-intensity", "zone": 13}).carbon == UkCarbonIntensity(zone="13")


@pytest.mark.parametrize(
    ("carbon", "key", "named"),
    [
        ({"provider": "electricity-maps", "zone": "DE"}, "carbon.provider", "ELECTRICITYMAPS_TOKEN"),
        ({"provider": "electricity-maps", "zone": "Germany!"}, "carbon.zone", "US-CAL-CISO"),
        ({"provider": "uk-carbon-intensity", "zone": 18}, "carbon.zone", "1 to 17"),
        ({"provider": "uk-carbon-intensity", "zone": "013"}, "carbon.zone", "1 to 17"),
    ],
)
def test_a_provider_that_cannot_be_asked_is_refused_at_load(
    carbon: dict[str, Any], key: str, named: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before anything is measured, with the variable to set or the zones there are; also where made in Python."""
    monkeypatch.delenv("ELECTRICITYMAPS_TOKEN", raising=False)
    error = _error(carbon=carbon)
    assert (error.where, error.exit_code) == (f"campaign: {key}", 2)
    assert named in str(error)
    made = dataclasses.replace(_load(), carbon=ElectricityMaps(zone="DE"))
    assert _error(made).where == "campaign: carbon.provider"


BOMB = "a0: &a0 [x]\n" + "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 9))
"""A short text that would hold a hundred million values."""

WRONG = [
    ({"nme": "x"}, "nme", "unknown key `nme`", "did you mean `name`?"),
    ({"name": None}, "name", "is null, but should be a valid string", "correct"),
    ({"name": "a|b"}, "name", "'a|b' cannot be a name", "letters"),
    ({"name": "x" * 101}, "name", "cannot be a name", "at most 100"),
    ({"name": "a\x1b[31m"}, "name", "characters that do not print", "remove"),
    ({"workloads": ["digits_cn"]}, "workloads[0]", "unknown workload `digits_cn`", "did you mean `digits-cnn`?"),
    ({"workloads": []}, "workloads", "is empty", "list at least one"),
    ({"workloads": ["digits-cnn", "digits-cnn"]}, "workloads[1]", "is there already, at workloads[0]", "name"),
    ({"workloads": [{"name": "x"}]}, "workloads[0]", "none of the keys", "where your own model is"),
    ({"workloads": [{"onnx": "a", "torch": "b"}]}, "workloads[0]", "names onnx and torch", "one key"),
    ({"workloads": [{"digits-cnn": {"epoch": 1}}]}, "workloads[0].digits-cnn.epoch", "unknown key", "`epochs`"),
    (
        {"workloads": [{"name": "m", "onnx": "gone.onnx"}]},
        "workloads[0].onnx",
        "cannot use gone.onnx: No such file",
        "relative to",
    ),
    (
        {"workloads": [{"name": "m", "torch": "a:b", "inputs": {"x": {"shape": ["batch"], "size": 3}}}]},
        "workloads[0].inputs.x.size",
        "unknown key `size`",
        "remove it",
    ),
    ({"variants": []}, "variants", "is empty", "list at least one"),
    ({"variants": ["int8-statik"]}, "variants[0]", "unknown recipe `int8-statik`", "did you mean `int8-static`?"),
    ({"variants": [7]}, "variants[0]", "is 7, but should be a valid string or a mapping", "correct"),
    ({"variants": ["fp32", "fp32"]}, "variants[1]", "`fp32` is there already, at variants[0]", "name"),
    ({"variants": [{"name": "best-fp32"}]}, "variants[0].name", "has a meaning of its own", "choose another"),
    ({"variants": [{"engine": "torch"}]}, "variants[0].name", "is missing", "add it"),
    ({"variants": [{"name": "a", "engine": "onxruntime"}]}, "variants[0].engine", "unknown engine", "`onnxruntime`"),
    ({"variants": [{"name": "a", "steps": ["prune"]}]}, "variants[0].steps[0]", "unknown recipe", "prune-unstructured"),
    ({"variants": [{"name": "a", "steps": "autocast"}]}, "variants[0].steps", "should be a list", "correct"),
    ({"variants": [{"name": "a", "steps": [{}]}]}, "variants[0].steps[0]", "is no step", "recipe's name"),
    (
        {"variants": [{"name": "a", "steps": [{"autocast": 3}]}]},
        "variants[0].steps[0].autocast",
        "3 is no mapping of settings",
        "{autocast: {}}",
    ),
    (
        {"variants": [{"name": "a", "steps": [{"autocast": {"dtyp": "x"}}]}]},
        "variants[0].steps[0].autocast.dtyp",
        "unknown key `dtyp`",
        "did you mean `dtype`?",
    ),
    (
        {"variants": [{"name": "a", "steps": [{"autocast": {"dtype": "int3"}}]}]},
        "variants[0].steps[0].autocast.dtype",
        "is \"int3\", but should be 'bfloat16' or 'float16'",
        "correct",
    ),
    (
        {"variants": [{"name": "a", "steps": [{"prune-unstructured": {"ratio": 7}}]}]},
        "variants[0].steps[0].prune-unstructured",
        "ratio must lie between 0 and 1, not 7.0",
        "correct the setting",
    ),
    (
        {"variants": [{"name": "a", "engine": "onnxruntime", "steps": ["int8-static", "prune-unstructured"]}]},
        "variants[0].steps[1]",
        "`prune-unstructured` works on a torch module, but `int8-static` (steps[0]) comes before it",
        "put `prune-unstructured` before `int8-static`",
    ),
    (
        {"variants": ["int8-static"]},
        "variants[0].steps[0]",
        "does not go with the engine `torch`, the default",
        "`engine: onnxruntime`",
    ),
    (
        {"variants": [{"name": "a", "engine": "onnxruntime", "steps": ["autocast"]}]},
        "variants[0].steps[0]",
        "`autocast` does not go with the engine `onnxruntime`",
        "use `engine: torch`",
    ),
    ({"baseline": "fp31"}, "baseline", "no variant is named `fp31`", "did you mean `fp32`?"),
    ({"scenarios": []}, "scenarios", "is empty", "list at least one"),
    ({"scenarios": [{"load": "ofline"}]}, "scenarios[0].load", "unknown load `ofline`", "did you mean `offline`?"),
    ({"scenarios": [{"batch": 1}]}, "scenarios[0]", "has no `load`", "offline, single-stream"),
    ({"scenarios": [{"load": "offline", "batch": 0}]}, "scenarios[0].batch", "is 0", "use 1 to"),
    ({"scenarios": [{"load": "offline", "batch": -4}]}, "scenarios[0].batch", "is -4", "use 1 to"),
    ({"scenarios": [{"load": "offline", "sleep": 1}]}, "scenarios[0].sleep", "unknown key `sleep`", "known: batch"),
    (
        {"scenarios": [{"load": "offline"}, {"load": "offline", "batch": 32}]},
        "scenarios[1]",
        "`offline/32` is",
        "remove",
    ),
    (
        {"variants": [{"name": "v", "workloads": ["digits"]}]},
        "variants[0].workloads[0]",
        "no workload",
        "`digits-cnn`?",
    ),
    (
        {"variants": [{"name": "v", "scenarios": ["offline/16"]}]},
        "variants[0].scenarios[0]",
        "no scenario is named `offline/16`",
        "`offline/32`?",
    ),
    (
        {"variants": [{"name": "v", "steps": ["pack", "export"]}]},
        "variants[0].steps[1]",
        "`export` works on a torch module, which it exports, but `pack` (steps[0]) comes before it",
        "put `export` before `pack`",
    ),
    (
        {"variants": [{"name": "v", "steps": ["export", "prune-unstructured"]}]},
        "variants[0].steps[1]",
        "`prune-unstructured` works on a torch module, but `export` (steps[0]) comes before it",
        "put `prune-unstructured` before `export`",
    ),
    (
        {"variants": [{"name": "v", "steps": ["export", "export-again"]}]},
        "variants[0].steps[1]",
        "`export-again` and `export` both export the network",
        "keep one of them",
    ),
    ({"placements": []}, "placements", "is empty", "list at least one"),
    ({"placements": [{"device": "tpu"}]}, "placements[0].device", "should be 'cpu' or 'cuda'", "correct"),
    ({"placements": [{"threads": 0}]}, "placements[0].threads", "is 0, but should be 'all' or", "correct"),
    ({"placements": [{"index": 1}]}, "placements[0].index", "is 1 on a CPU", "device: cuda"),
    ({"placements": [{"threads": 1}, {"threads": 1}]}, "placements[1]", "`cpu/1t` is there already", "remove"),
    ({"repeats": 0}, "repeats", "is 0, but should be greater than or equal to 1", "correct"),
    ({"repeats": True}, "repeats", "is true, but should be a valid integer", "correct"),
    ({"repeats": "3"}, "repeats", 'is "3", but should be a valid integer', "correct"),
    ({"seed": -1}, "seed", "greater than or equal to 0", "correct"),
    ({"seed": 10**30}, "seed", "too large", "at most"),
    ({"budget": {"min_duration_s": float("nan")}}, "budget.min_duration_s", "no finite number", "finite"),
    ({"budget": {"min_duration_s": float("inf")}}, "budget.min_duration_s", "no finite number", "finite"),
    ({"budget": {"min_duration_s": -1}}, "budget.min_duration_s", "is -1, but should be greater than 0", "correct"),
    ({"budget": {"min_duration_s": 61}}, "budget.min_duration_s", "more than max_duration_s", "raise max_duration_s"),
    (
        {"budget": {"min_duration_s": 5, "timeout_s": 4}},
        "budget.timeout_s",
        "no more than min_duration_s",
        "leave time",
    ),
    ({"budget": {"warmup": "some"}}, "budget.warmup", "should be 'auto' or a valid number", "correct"),
    ({"budget": 3}, "budget", "should be a mapping", "correct"),
    ({"carbon": {"region": "FRB"}}, "carbon.region", "no country has the code", "FRA"),
    ({"carbon": {}}, "carbon", "needs one of region, intensity_g_per_kwh, series and provider", "three-letter"),
    ({"carbon": {"region": "FRA", "intensity_g_per_kwh": 3}}, "carbon", "needs one of", "or intensity_g_per_kwh"),
    ({"carbon": {"pue": 1.2}}, "carbon", "needs one of", "three-letter"),
    ({"carbon": {"region": "FRA", "zone": "FR"}}, "carbon", "needs one of", "provider"),
    ({"carbon": {"provider": "electricity-maps"}}, "carbon.zone", "is missing", "US-CAL-CISO"),
    ({"carbon": {"provider": "watttime"}}, "carbon.provider", "should be 'electricity-maps' or", "correct"),
    ({"carbon": {"series": "gone.csv", "region": "DEU"}}, "carbon.series", "cannot use gone.csv: No such", "relative"),
    ({"carbon": {"series": "gone.csv"}}, "carbon.region", "is missing", "add what the series is of"),
    ({"carbon": {"series": "gone.csv", "zone": "DE"}}, "carbon", "needs one of", "series, a CSV file, with its region"),
    ({"carbon": {"embodied": {"total_kgco2e": 3}}}, "carbon.embodied.lifespan_years", "is missing", "add it"),
    (
        {"carbon": {"region": "FRA", "embodied": {"total_kgco2e": 3, "lifespan_years": 4, "share": 1.5}}},
        "carbon.embodied.share",
        "less than or equal to 1",
        "correct",
    ),
    ({"cost": {"price_per_kwh": 0.3}}, "cost.currency", "is missing", "add it"),
    ({"cost": {"price_per_kwh": -1, "currency": "EUR"}}, "cost.price_per_kwh", "greater than or equal to 0", "correct"),
    ({"cost": {"price_per_kwh": 0.3, "currency": "euro"}}, "cost.currency", "'euro', which is no currency", "as EUR"),
    ({"carbon": {"intensity_g_per_kwh": -3}}, "carbon.intensity_g_per_kwh", "greater than or equal to 0", "correct"),
    ({"carbon": {"region": "FRA", "pue": 0.5}}, "carbon.pue", "greater than or equal to 1", "correct"),
    ({"name": {1, 2}}, "name", "is of type set", "text, numbers and lists"),
]


@pytest.mark.parametrize(("changes", "key", "what", "fix"), WRONG, ids=[f"{w[1]}-{i}" for i, w in enumerate(WRONG)])
def test_what_is_wrong_is_told_with_place_and_next_step(changes: dict[str, Any], key: str, what: str, fix: str) -> None:
    """One mistake gives one message: which file, which key, what, and what to do."""
    error = _error(**changes)
    assert error.where == f"campaign: {key}"
    assert what in error.what
    assert fix in (error.fix or "")
    assert error.exit_code == 2


@pytest.mark.parametrize(
    ("variant", "key", "what"),
    [
        ({"name": "t", "engine": "torch"}, "variants[0].engine", "the workload `m` is an ONNX graph"),
        ("prune-unstructured", "variants[0].steps[0]", "the workload `m` is an ONNX graph"),
    ],
)
def test_a_graph_takes_no_torch_step_and_no_torch_engine(tmp_path: Path, variant: object, key: str, what: str) -> None:
    """A graph cannot be turned back into a module, and the message says so."""
    (tmp_path / "m.onnx").write_text("graph")
    own = {"name": "m", "onnx": str(tmp_path / "m.onnx")}
    error = _error(workloads=[own], variants=[variant])
    assert error.where == f"campaign: {key}"
    assert what in error.what


def test_several_mistakes_are_told_at_once_with_their_lines(tmp_path: Path) -> None:
    """The first few problems come in one message, each with the line it is on."""
    text = "name: a\nworkloads: [digits]\nvariants:\n  - fp32\n  - {name: b, engine: 3}\nscenarios: [{load: x}]\n"
    error = _error(_file(tmp_path, text))
    assert error.where == "mine.yaml"
    assert error.what.splitlines()[0] == "3 problems"
    for told in ("workloads[0] (line 2)", "variants[1].engine (line 5)", "scenarios[0].load (line 6)"):
        assert told in error.what


def test_no_more_than_five_problems_are_listed() -> None:
    """A file that is wrong all over does not fill the screen."""
    error = _error(variants=[f"x{i}" for i in range(9)])
    assert error.what.count("→") == 5
    assert error.fix == "correct these and see 4 more"


@pytest.mark.parametrize(
    ("content", "what"),
    [
        ("name: [", "is not valid YAML"),
        ("name: a\nname: b\n", "the key is there twice"),
        ("- 1\n", "not a campaign"),
        ("", "holds None, not a campaign"),
        (b"name: \xff\xfe", "is not UTF-8"),
        ("name: !!python/object/apply:os.system [ls]", "tag"),
        ("name: \x07", "not valid YAML"),
        ("name: &a [*a]\n", "nested deeper"),
        ("name: " + "[" * 5000, "nested deeper"),
        (BOMB, "more than 20000"),
        ("x" * 300_000, "larger than"),
        ('name: "\\UFFFFFFFF"', "not valid YAML"),
        ("repeats: !!int x", "not valid YAML"),
        ("1: 2\n", "the key 1 is no text"),
        ("[a]: 2\n", "a key is a list or a mapping"),
        ("a: 1\n---\nb: 2\n", "another document"),
    ],
)
def test_what_is_no_campaign_file_is_told_by_name(tmp_path: Path, content: str | bytes, what: str) -> None:
    """Any bytes at all give one message that names the file."""
    error = _error(_file(tmp_path, content))
    assert "mine.yaml" in (error.where or "")
    assert what in error.what


def test_broken_yaml_is_located(tmp_path: Path) -> None:
    """The message gives line and column of what could not be parsed."""
    error = _error(_file(tmp_path, "name: a\nvariants: [fp32\nrepeats: 3\n"))
    assert (error.where or "").startswith("mine.yaml, line 3, column")


def test_paths_that_are_no_readable_file(tmp_path: Path) -> None:
    """A missing file and a folder each say so."""
    assert _error(tmp_path / "gone.yaml").what == "there is no such file"
    assert _error(tmp_path).what == "is a folder"
    assert "cannot be read" in _error(Path("a\0b")).what


def test_scalars_mean_what_they_look_like(tmp_path: Path) -> None:
    """YAML 1.2: 1:30 and no are text, 010 is ten and 1e-1 a number."""
    changed = {"name", "seed", "budget", "carbon"}
    rest = yaml.safe_dump({key: value for key, value in small_campaign().items() if key not in changed})
    text = f"name: 1:30\nseed: 010\nbudget: {{min_duration_s: 1e-1}}\n{rest}"
    campaign = _load(_file(tmp_path, text))
    assert (campaign.name, campaign.seed, campaign.budget.min_duration_s) == ("1:30", 10, 0.1)
    error = _error(_file(tmp_path, text + "carbon: {region: no}\n"))
    assert error.what == "no country has the code 'no'"


def test_overrides_reach_into_mappings_and_lists() -> None:
    """--set takes dotted keys, list indices and YAML values."""
    overrides = ["budget.min_duration_s=2", "variants.1.name=x", "scenarios.1.batch=8", "placements=[{threads: 2}]"]
    campaign = load_campaign(small_campaign(), overrides=overrides, catalog=CATALOG)
    assert campaign.budget.min_duration_s == 2
    assert campaign.variants[1].name == "x"
    assert [load.batch for load in campaign.scenarios] == [1, 8]
    assert campaign.placements == (Placement(threads=2),)


def test_an_override_may_add_what_the_file_leaves_out() -> None:
    """Mappings on the way are made."""
    values = {key: value for key, value in small_campaign().items() if key != "budget"}
    campaign = load_campaign(values, overrides=["budget.min_queries=9"], catalog=CATALOG)
    assert campaign.budget.min_queries == 9


def test_the_mapping_that_was_given_is_left_alone() -> None:
    """Overrides change the campaign, not the caller's dictionary."""
    values = small_campaign()
    load_campaign(values, overrides=["repeats=9", "variants.1.name=x"], catalog=CATALOG)
    assert values == small_campaign()


@pytest.mark.parametrize(
    ("assignment", "where", "what"),
    [
        ("repeats", "--set repeats", "is no assignment"),
        ("a..b=1", "--set a..b=1", "is no assignment"),
        ("variants.9.name=x", "--set variants.9.name=x", "variants is a list of 4"),
        ("variants.x.name=x", "--set variants.x.name=x", "variants is a list of 4"),
        ("variants.0.name=x", "--set variants.0.name=x", "variants[0] is fp32, which has no keys"),
        ("repeats=[1", "--set repeats=[1, line 1, column 3", "is not valid YAML"),
        ("repeats=0", "campaign: repeats (by --set repeats=0)", "is 0"),
        ("repaets=2", "campaign: repaets (by --set repaets=2)", "unknown key"),
    ],
)
def test_a_wrong_override_is_named(assignment: str, where: str, what: str) -> None:
    """The message quotes the --set that is to blame."""
    error = _error(overrides=(assignment,))
    assert error.where == where
    assert what in error.what


def test_the_same_content_has_the_same_hash_however_it_is_written(tmp_path: Path) -> None:
    """Mapping, YAML in any key order, defaults spelled out or not: one content, one hash."""
    values = small_campaign()
    reordered = {key: values[key] for key in reversed(values)}
    spelled_out = {**values, "workloads": [{"digits-cnn": {"epochs": 8}}], "baseline": "best-fp32"}
    steps = [{"prune-unstructured": {"ratio": 0.7}}, {"int8-static": {"per_channel": True}}]
    spelled_out["variants"] = [*values["variants"][:3], {**values["variants"][3], "steps": steps}]
    sources: list[Any] = [values, reordered, spelled_out, _file(tmp_path, yaml.safe_dump(reordered))]
    assert len({content_hash(_load(source)) for source in sources}) == 1
    assert len({to_json(_load(source)) for source in sources}) == 1


@pytest.mark.parametrize(
    "override",
    [
        "name=other",
        "seed=8",
        "repeats=4",
        "variants.2.steps.0.autocast.dtype=float16",
        "variants.1.engine=torch",
        "scenarios.1.batch=16",
        "placements.0.threads=all",
        "budget.warmup=1",
        "workloads=[{digits-cnn: {epochs: 1}}]",
    ],
)
def test_other_content_has_another_hash(override: str) -> None:
    """Whatever could change a figure changes the hash."""
    changed = load_campaign(small_campaign(), overrides=[override], catalog=CATALOG)
    assert content_hash(changed) != content_hash(_load())


@pytest.mark.parametrize(
    "override",
    [
        "carbon.pue=1.0",
        "baseline=fp32",
        "carbon={provider: uk-carbon-intensity}",
        "carbon.embodied={total_kgco2e: 1200, lifespan_years: 4}",
        "cost={price_per_kwh: 0.3, currency: EUR}",
    ],
)
def test_what_is_only_used_in_reading_leaves_the_hash(override: str) -> None:
    """Another baseline or another grid asks for no new measurement."""
    changed = load_campaign(small_campaign(), overrides=[override], catalog=CATALOG)
    assert content_hash(changed) == content_hash(_load())
    assert to_json(changed) != to_json(_load())


def test_the_hash_follows_a_models_content_and_not_its_path(tmp_path: Path) -> None:
    """A campaign may move house; a model that has changed is another campaign."""
    hashes = []
    for folder, content in (("a", "graph"), ("b", "graph"), ("c", "another")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "m.onnx").write_text(content)
        values = {**small_campaign(), "workloads": [{"name": "m", "onnx": "m.onnx"}], "variants": ["fp32"]}
        hashes.append(content_hash(_load(_file(tmp_path / folder, yaml.safe_dump(values)))))
    assert hashes[0] == hashes[1]
    assert hashes[0] != hashes[2]


def test_trust_is_no_part_of_the_content() -> None:
    """Leave to run code does not make it another campaign."""
    trusted = load_campaign(small_campaign(), catalog=CATALOG, trust=True)
    assert content_hash(trusted) == content_hash(_load())


def test_the_stored_json_has_everything_and_no_injected_callables() -> None:
    """What is stored can be read without Joulemark, defaults included."""
    stored = json.loads(to_json(_load()))
    assert stored["variants"][3] == {
        "name": "sparse-int8",
        "engine": "onnxruntime",
        "steps": [{"prune-unstructured": {"ratio": 0.7}}, {"int8-static": {"per_channel": True, "skip": []}}],
    }
    assert stored["scenarios"] == [{"load": "single-stream", "batch": 1}, {"load": "offline", "batch": 32}]
    assert stored["workloads"] == [{"kind": "digits-cnn", "name": "digits-cnn", "epochs": 8}]


def test_a_campaign_made_in_python_is_checked_by_the_same_rules() -> None:
    """A Campaign passes through unchanged, unless something in it cannot be used."""
    campaign = _load()
    assert _load(campaign) == campaign
    error = _error(dataclasses.replace(campaign, repeats=0))
    assert (error.where, error.what) == ("campaign: repeats", "is 0")
    wrong_chain = Variant(name="q", engine="torch", steps=(Quantize(),))
    assert _error(dataclasses.replace(campaign, variants=(wrong_chain,))).where == "campaign: variants[0].steps[0]"
    assert "no overrides" in _error(campaign, overrides=("repeats=1",)).what


def test_a_campaign_of_a_million_trials_is_refused() -> None:
    """The product of all lists stays within what can be planned."""
    loads = [{"load": "offline", "batch": batch} for batch in range(1, 201)]
    placements = [{"threads": threads} for threads in range(1, 101)]
    error = _error(scenarios=loads, placements=placements, repeats=100)
    assert error.what == "the campaign has 8,000,000 trials"


def test_a_step_that_proves_nothing_alone_brings_its_control() -> None:
    """The same variant without what the step is to show the worth of runs beside it; never twice."""
    student = {"name": "student", "steps": [{"teach": {"student": {"width": 8}}}], "workloads": ["digits-cnn"]}
    campaign = _load(variants=["fp32", student])
    assert [variant.name for variant in campaign.variants] == ["fp32", "student", "student-control"]
    taught, alone = campaign.variants[1:]
    assert alone == dataclasses.replace(
        taught, name="student-control", steps=(Teach(teacher=False, student={"width": 8}),)
    )
    assert load_campaign(campaign, catalog=CATALOG) == campaign
    own = {
        "name": "mine",
        "steps": [{"teach": {"teacher": False, "student": {"width": 8}}}],
        "workloads": ["digits-cnn"],
    }
    assert [v.name for v in _load(variants=["fp32", student, own]).variants] == ["fp32", "student", "mine"]


def test_a_native_step_goes_with_either_kind_of_engine() -> None:
    """It works on what the engine takes, after what works on the network and beside what works on the graph."""
    variants = [
        {"name": "a", "steps": ["prune-unstructured", "export", "pack"]},
        {"name": "b", "engine": "onnxruntime", "steps": ["export", "pack", "int8-static", "pack"]},
    ]
    assert [variant.precisions for variant in _load(variants=variants).variants] == [("int8", "int4"), ("int8", "int4")]
