from pathlib import Path

import numpy as np
import torch

from harness.engines.onnx_export import to_onnx
from harness.variants.int8_static import Int8Static
from harness.variants.protocol import BuildContext, TorchModel
from scenarios.workloads.classification import hits
from scenarios.workloads.protocol import Split
from scenarios.workloads.tabular import FEATURES, learnt, make_network
from scenarios.workloads.training import Plan

PLAN = Plan(epochs=6, batch=16, peak_learning_rate=1e-2, seed=2)


def table(scale: float = 1.0) -> Split:
    """Two columns that decide together; the second is small, and the first may come in another unit."""
    numbers = np.random.default_rng(0).normal(size=(320, 2)).astype(np.float32)
    labels = (numbers.sum(axis=1) > 0).astype(np.int64)
    return Split(inputs={FEATURES: numbers * np.array([scale, 2.0**-7], dtype=np.float32)}, labels=labels)


def answers(module: torch.nn.Module, rows: Split) -> np.ndarray:
    answered: np.ndarray = module(torch.from_numpy(rows.inputs[FEATURES])).numpy()
    return answered


def test_a_column_in_another_unit_gives_the_same_answers() -> None:
    """The network standardises inside, so the unit of a raw column is forgotten at once."""
    ones, thousands = (answers(learnt(rows, 16, 1, PLAN).module, rows) for rows in (table(), table(1024.0)))
    assert ones.tolist() == thousands.tolist()
    assert hits((ones,), table().labels).mean() > 0.95


def test_a_network_of_the_same_arguments_reads_the_same_table() -> None:
    """Means and deviations come with the factory's arguments, so a smaller student needs no weight of its teacher."""
    rows = table(1024.0)
    arguments = learnt(rows, 16, 2, PLAN).arguments
    student = make_network(**{**arguments, "width": 8, "depth": 1})
    numbers = rows.inputs[FEATURES]
    buffers = dict(student.named_buffers())
    np.testing.assert_allclose(buffers["mean"].numpy(), numbers.mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(buffers["deviation"].numpy(), numbers.std(axis=0), rtol=1e-5)
    assert [tuple(parameter.shape) for parameter in student.parameters()] == [(8, 2), (8,), (2, 8), (2,)]


def test_static_int8_keeps_a_small_column(tmp_path: Path) -> None:
    """The raw columns, a hundred thousand times apart, are not forced onto one scale of 256 steps."""
    import onnxruntime as ort

    rows = table(1024.0)
    network = learnt(rows, 16, 1, PLAN)
    graph = to_onnx(TorchModel(network=network), {FEATURES: rows.inputs[FEATURES][:2]}, tmp_path / "fp32.onnx")
    context = BuildContext(seed=0, calibration=rows.inputs, scratch=tmp_path)
    session = ort.InferenceSession(str(Int8Static().apply(graph, context).path), providers=["CPUExecutionProvider"])
    quantized = hits(tuple(session.run(None, dict(rows.inputs))), rows.labels).mean()
    assert quantized >= hits((answers(network.module, rows),), rows.labels).mean() - 0.02
