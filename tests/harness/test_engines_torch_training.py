from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from harness.config import load_campaign
from harness.engines.protocol import Engine, Judged, Profiled, Session
from harness.engines.torch_training import TorchTraining
from harness.plan import recipes
from harness.spec import Placement
from harness.variants.protocol import TorchModel
from results.errors import ConfigError, UnsupportedError
from scenarios.workloads.digits_cnn import make_network as make_digits
from scenarios.workloads.protocol import Network, Prepared
from scenarios.workloads.train_mixed import HELD_OUT, TrainMixed
from scenarios.workloads.training import one_thread

CPU = Placement(threads=1)
WORKLOAD = TrainMixed(layers=1, width=64, heads=2, sequence=16, steps=25, batch=8, learning_rate=3e-3)


@pytest.fixture(autouse=True)
def one_core() -> Iterator[None]:
    """Train as a pinned trial does."""
    with one_thread():
        yield


@pytest.fixture(scope="module")
def prepared() -> Prepared:
    """A small training workload."""
    return WORKLOAD.prepare(seed=0)


def _exported(prepared: Prepared, folder: Path, **settings: Any) -> Path:
    assert prepared.network is not None
    example = {name: array[:2] for name, array in prepared.inputs.items()}
    TorchTraining().export(replace(TorchModel(network=prepared.network), **settings), example, folder)
    return folder


def _batch(prepared: Prepared) -> dict[str, Any]:
    return {name: array[:8] for name, array in prepared.inputs.items()}


def _judged(prepared: Prepared, session: Judged) -> Any:
    assert prepared.labels is not None
    return WORKLOAD.score(session.answers(prepared.inputs), prepared.labels)


def test_a_query_is_a_step(prepared: Prepared, tmp_path: Path) -> None:
    """Run on one batch over and over, the loss of that batch falls: weights move from query to query."""
    session = TorchTraining().load(_exported(prepared, tmp_path), CPU)
    feed = session.feed(_batch(prepared))
    losses = [session.outputs(session.run(feed))[0].item() for _ in range(12)]
    assert isinstance(TorchTraining(), Engine)
    assert isinstance(session, Session)
    assert losses[0] == pytest.approx(8 * np.log(2), abs=0.2)
    assert losses[-1] < losses[0] - 0.5
    assert (session.device_latencies_ns(), session.allocator_peak_bytes()) == (None, None)


def test_a_step_is_torchs_own(prepared: Prepared, tmp_path: Path) -> None:
    """Two steps leave the weights that a plain loop of AdamW over clipped gradients leaves."""
    session = TorchTraining().load(_exported(prepared, tmp_path), CPU)
    feed = session.feed(_batch(prepared))
    losses = [session.run(feed).item() for _ in range(3)]
    again = WORKLOAD.prepare(seed=0).network
    assert again is not None
    module: Any = again.module
    optimizer = torch.optim.AdamW(module.parameters(), lr=3e-3, weight_decay=0.1)
    expected = []
    for _ in range(3):
        optimizer.zero_grad()
        loss = module(*feed)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(module.parameters(), 1.0)
        optimizer.step()
        expected.append(loss.item())
    assert losses == pytest.approx(expected, rel=1e-5)


def test_it_is_judged_after_its_steps_from_the_initial_weights(prepared: Prepared, tmp_path: Path) -> None:
    """However long it was timed before, the loss is that of as many steps, on windows that it has not seen."""
    session = TorchTraining().load(_exported(prepared, tmp_path), CPU)
    assert isinstance(session, Judged)
    first = _judged(prepared, session)
    feed = session.feed(_batch(prepared))
    for _ in range(3):
        session.run(feed)
    assert first.shape == (HELD_OUT,)
    assert first.mean() < 6.5
    assert _judged(prepared, session).tolist() == first.tolist()


def test_mixed_precision_learns_as_well(prepared: Prepared, tmp_path: Path) -> None:
    """Under bfloat16 the products are computed in 16 bits, backwards too, and the loss comes out alike."""
    (tmp_path / "fp32").mkdir()
    (tmp_path / "bf16").mkdir()
    plain = TorchTraining().load(_exported(prepared, tmp_path / "fp32"), CPU)
    mixed = TorchTraining().load(_exported(prepared, tmp_path / "bf16", autocast="bfloat16"), CPU)
    assert isinstance(mixed, Profiled)
    products = [kernel for kernel in mixed.kernels(mixed.feed(_batch(prepared))) if kernel.is_product]
    assert {kernel.precision for kernel in products} == {"bfloat16"}
    one, other = _judged(prepared, plain), _judged(prepared, mixed)
    assert one.tolist() != other.tolist()
    assert other.mean() == pytest.approx(one.mean(), abs=0.1)


def test_float16_is_not_for_the_cpu(prepared: Prepared, tmp_path: Path) -> None:
    """Without a gradient scaler its gradients vanish, and the scaler is for GPUs: told, not tried."""
    with pytest.raises(UnsupportedError, match="float16 on the CPU"):
        TorchTraining().load(_exported(prepared, tmp_path, autocast="float16"), CPU)


def test_a_network_that_only_answers_is_refused(tmp_path: Path) -> None:
    """A module without a loss of its own is told of the engine that runs it."""
    model = TorchModel(network=Network(module=make_digits(), factory="scenarios.workloads.digits_cnn:make_network"))
    with pytest.raises(UnsupportedError, match="computes its own loss") as told:
        TorchTraining().export(model, {}, tmp_path)
    assert "engine `torch`" in str(told.value)


@pytest.mark.parametrize("placement", [Placement(device="cuda", index=63), Placement(device="tpu")])
def test_absent_device_is_unsupported(prepared: Prepared, tmp_path: Path, placement: Placement) -> None:
    """A device that is not there is a result with a next step, as with eager torch."""
    with pytest.raises(UnsupportedError, match="device: cpu"):
        TorchTraining().load(_exported(prepared, tmp_path), placement)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
@pytest.mark.parametrize("autocast", [None, "bfloat16", "float16"])
def test_cuda_times_each_step_and_learns_as_the_cpu(prepared: Prepared, tmp_path: Path, autocast: str | None) -> None:
    """On a GPU every step has a latency by device events, and the loss comes out as on the CPU, scaled or not."""
    for name in ("cpu", "cuda"):
        (tmp_path / name).mkdir()
    expected = _judged(prepared, TorchTraining().load(_exported(prepared, tmp_path / "cpu"), CPU))
    folder = _exported(prepared, tmp_path / "cuda", autocast=autocast)
    session = TorchTraining().load(folder, Placement(device="cuda"))
    feed = session.feed(_batch(prepared))
    for _ in range(3):
        session.run(feed)
    latencies_ns = session.device_latencies_ns()
    assert latencies_ns is not None
    assert (len(latencies_ns), latencies_ns.min() > 0) == (3, True)
    assert _judged(prepared, session).mean() == pytest.approx(expected.mean(), abs=0.1)


def _campaign(**variant: Any) -> Any:
    return load_campaign(
        {
            "name": "c",
            "workloads": ["train-mixed"],
            "variants": ["fp32", {"name": "v", **variant}],
            "scenarios": [{"load": "offline", "batch": 8}],
        }
    )


def test_a_training_workload_brings_its_engine() -> None:
    """A variant that names no engine is trained, plain or mixed, and the plain one may be the baseline."""
    campaign = _campaign(steps=["autocast"])
    assert [recipe.engine for recipe in recipes(campaign)] == ["torch-training", "torch-training"]
    assert [variant.keeps_fp32 for variant in campaign.variants] == [True, False]


@pytest.mark.parametrize("engine", ["torch", "onnxruntime"])
def test_other_engines_are_refused_in_the_campaign(engine: str) -> None:
    """An engine that only answers would time something else than training."""
    with pytest.raises(ConfigError, match="`train-mixed` does not go with the engine") as told:
        _campaign(engine=engine)
    assert "`torch-training`" in str(told.value)
