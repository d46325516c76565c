from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

MODELS = Path(__file__).with_name("models.py")


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Artifacts of the tests are shared among them, and with nobody else."""
    monkeypatch.setenv("JOULEMARK_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.fixture
def campaign(tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Makes a small campaign over some of the networks in ``models.py``."""

    def make(*factories: str, **keys: Any) -> dict[str, Any]:
        inputs = {"x": {"shape": ["batch", 8], "dtype": "float32"}}
        workloads = [{"name": f, "torch": f"tests.e2e.models:{f}", "inputs": inputs} for f in factories]
        return {
            "name": "small",
            "workloads": workloads,
            "variants": ["fp32"],
            "scenarios": [{"load": "single-stream", "batch": 3}],
            "repeats": 2,
            "budget": {"min_duration_s": 0.05, "min_queries": 12, "warmup": 0.02, "timeout_s": 20, "idle_s": 0},
            **keys,
        }

    return make
