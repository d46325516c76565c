import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

MODELS = Path(__file__).with_name("models.py")


@pytest.fixture(scope="package", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Artifacts of the tests are shared among them, in whichever process they run, and with nobody else."""
    base = tmp_path_factory.getbasetemp()
    whole_run = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JOULEMARK_CACHE", str(whole_run / "cache"))
        yield


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
