"""Small ONNX graphs that run in microseconds and need no torch."""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def tiny(path: Path, *, factor: float = 1.0, layers: int = 0) -> Path:
    """Write a graph that multiplies eight numbers by a matrix.

    Args:
        path: where to.
        factor: of the matrix; a negative one answers otherwise.
        layers: products with an identity after that, which change nothing but the time that it takes.
    """
    weights = np.random.default_rng(0).standard_normal((8, 4), dtype=np.float32) * np.float32(factor)
    nodes = [helper.make_node("MatMul", ["x", "w"], ["h0"])]
    nodes += [helper.make_node("MatMul", [f"h{n}", "i"], [f"h{n + 1}"]) for n in range(layers)]
    nodes.append(helper.make_node("Identity", [f"h{layers}"], ["y"]))
    given = [numpy_helper.from_array(weights, "w"), numpy_helper.from_array(np.eye(4, dtype=np.float32), "i")]
    made = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 4])],
        given,
    )
    onnx.save(helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), str(path))
    return path
