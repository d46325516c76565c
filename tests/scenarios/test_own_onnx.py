from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from results.errors import ConfigError
from scenarios.workloads.own_onnx import OnnxFile
from scenarios.workloads.protocol import Workload
from scenarios.workloads.seeded_inputs import InputSpec


def linear(path: Path, *, batch: int | str = "n", width: int | str = 4) -> Path:
    """A graph ``y = x @ w`` of shape ``[batch, 3]``."""
    weight = np.random.default_rng(0).standard_normal((4, 3)).astype(np.float32)
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "linear",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, width])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [batch, 3])],
        [numpy_helper.from_array(weight, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, str(path))
    return path


def test_graph_is_judged_by_fidelity_to_itself(tmp_path: Path) -> None:
    """Its own fp32 answers are the labels, so that it scores 1 against itself."""
    import onnxruntime as ort

    workload = OnnxFile(name="mine", path=linear(tmp_path / "m.onnx"), inputs={"x": InputSpec(shape=("batch", 4))})
    prepared = workload.prepare(seed=0)
    assert prepared.labels is not None
    session = ort.InferenceSession(str(prepared.onnx), providers=["CPUExecutionProvider"])
    outputs = tuple(session.run(None, dict(prepared.inputs)))
    assert isinstance(workload, Workload)
    assert workload.quality.fidelity
    assert workload.score(outputs, prepared.labels).tolist() == [1.0] * 64


def test_inputs_are_read_off_a_graph_of_fixed_sizes(tmp_path: Path) -> None:
    """Where all but the batch is fixed, nothing need be declared."""
    prepared = OnnxFile(name="mine", path=linear(tmp_path / "m.onnx"), examples=6).prepare(seed=0)
    assert {name: (a.shape, a.dtype) for name, a in prepared.inputs.items()} == {"x": ((6, 4), np.dtype("float32"))}


def test_test_and_calibration_inputs_differ(tmp_path: Path) -> None:
    """What ranges are chosen from is not what is judged."""
    prepared = OnnxFile(name="mine", path=linear(tmp_path / "m.onnx")).prepare(seed=0)
    assert not np.array_equal(prepared.inputs["x"], prepared.calibration["x"])


def test_graph_with_a_fixed_batch_is_judged_in_that_batch(tmp_path: Path) -> None:
    """A graph exported for two examples at a time still gives an answer for each."""
    prepared = OnnxFile(name="mine", path=linear(tmp_path / "m.onnx", batch=2), examples=6).prepare(seed=0)
    assert prepared.labels is not None
    assert prepared.labels.shape == (6, 3)


def test_digest_follows_the_content(tmp_path: Path) -> None:
    """A changed file is another workload, wherever it lies."""
    one, same = linear(tmp_path / "a.onnx"), linear(tmp_path / "b.onnx")
    digest = OnnxFile(name="m", path=one).inputs_digest()
    assert digest == OnnxFile(name="m", path=same).inputs_digest()
    linear(same, batch=2)
    assert digest != OnnxFile(name="m", path=same).inputs_digest()


@pytest.mark.parametrize("content", [b"", b"not a graph", b"\x08\x07\x12\xff\xff"])
def test_broken_file_is_a_configuration_error(tmp_path: Path, content: bytes) -> None:
    """A file that is no graph is named, with what to do."""
    path = tmp_path / "broken.onnx"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"broken\.onnx: is no sound ONNX graph") as caught:
        OnnxFile(name="mine", path=path).prepare(seed=0)
    assert "export it again" in str(caught.value)


def test_missing_file_is_a_configuration_error(tmp_path: Path) -> None:
    """A path that leads nowhere is named before anything runs."""
    with pytest.raises(ConfigError, match=r"none\.onnx: the model file cannot be read"):
        OnnxFile(name="mine", path=tmp_path / "none.onnx").inputs_digest()


def test_free_size_has_to_be_given(tmp_path: Path) -> None:
    """Where a size besides the batch is free, the message says which input to declare, and how."""
    path = linear(tmp_path / "m.onnx", width="width")
    with pytest.raises(ConfigError, match=r"(?s)input `x`.*shape: \[batch"):
        OnnxFile(name="mine", path=path).prepare(seed=0)


def test_unknown_input_name_tells_the_graphs_own(tmp_path: Path) -> None:
    """A wrong name is answered with the right one."""
    workload = OnnxFile(name="mine", path=linear(tmp_path / "m.onnx"), inputs={"z": InputSpec(shape=("batch", 4))})
    with pytest.raises(ConfigError, match="the graph takes `x`, and `inputs` gives `z`"):
        workload.prepare(seed=0)


def test_wrong_shape_is_a_configuration_error(tmp_path: Path) -> None:
    """Inputs that the graph cannot take are the campaign's mistake, not a crash."""
    workload = OnnxFile(name="mine", path=linear(tmp_path / "m.onnx"), inputs={"x": InputSpec(shape=("batch", 5))})
    with pytest.raises(ConfigError, match="does not run on these inputs"):
        workload.prepare(seed=0)


def test_weights_in_another_file_are_refused_with_the_remedy(tmp_path: Path) -> None:
    """An artifact is one file: a graph whose weights lie elsewhere is told how to become so."""
    model = onnx.load(str(linear(tmp_path / "m.onnx")))
    onnx.save(model, str(tmp_path / "e.onnx"), save_as_external_data=True, location="e.data", size_threshold=0)
    with pytest.raises(ConfigError, match="save it in one file"):
        OnnxFile(name="mine", path=tmp_path / "e.onnx").prepare(seed=0)
