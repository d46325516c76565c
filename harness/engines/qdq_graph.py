"""Graphs with quantize/dequantize pairs that torch exported, in the form in which ONNX Runtime fuses them.

Three things keep its fusions from whole int8 kernels: a linear layer's weights that are transposed after they are
dequantized, biases in fp32, and scales computed by the graph. The module must not know which recipe made the pairs.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

BIASED: Final = frozenset({"Conv", "Gemm"})
INT32_MAX: Final = 2**31 - 1


def fused(path: Path) -> None:
    """Rewrite a graph in place: weights as 8-bit constants the way they are multiplied, biases as 32-bit ones."""
    import onnx

    model = onnx.load(str(path))
    graph = _Graph(model.graph)
    for node in list(model.graph.node):
        if node.op_type == "Transpose":
            graph.turn_weight(node)
    for node in list(model.graph.node):
        if node.op_type in BIASED and len(node.input) > 2:
            graph.quantize_bias(node)
    graph.drop_unread()
    onnx.save(model, str(path))


class _Graph:
    """A graph with its constants and makers by name."""

    def __init__(self, graph: Any) -> None:
        self._graph = graph
        self._constants = {tensor.name: tensor for tensor in graph.initializer}
        self._makers = {name: node for node in graph.node for name in node.output}

    def turn_weight(self, node: Any) -> None:
        """Transpose a dequantized weight before it is dequantized instead, once and for all."""
        import onnx

        maker = self._makers.get(node.input[0])
        if maker is None or maker.op_type != "DequantizeLinear" or maker.input[0] not in self._constants:
            return
        order = next(list(attribute.ints) for attribute in node.attribute if attribute.name == "perm")
        turned = np.ascontiguousarray(self._array(maker.input[0]).transpose(order))
        name = self._add(f"{maker.input[0]}_turned", turned)
        axis = next((attribute.i for attribute in maker.attribute if attribute.name == "axis"), 1)
        made = onnx.helper.make_node(
            "DequantizeLinear", [name, *maker.input[1:]], list(node.output), axis=order.index(axis % len(order))
        )
        made.name = f"{node.name}_dequantized"
        self._replace(node, made)

    def quantize_bias(self, node: Any) -> None:
        """Give a product of quantized inputs its bias as 32-bit integers, at the scale of its accumulator."""
        import onnx

        given, weight = (self._makers.get(name) for name in node.input[:2])
        if any(maker is None or maker.op_type != "DequantizeLinear" for maker in (given, weight)):
            return
        held = (node.input[2], given.input[1], weight.input[1])  # type: ignore[union-attr]  # neither is None
        if not all(name in self._constants for name in held):
            return
        bias, given_scale, weight_scale = (self._array(name).astype(np.float64) for name in held)
        scale = (given_scale * weight_scale).astype(np.float32)
        rounded = np.rint(bias / scale)
        if np.abs(rounded).max(initial=0.0) > INT32_MAX:
            return  # beyond what the accumulator holds: the bias stays as it is
        name = f"{node.name}_bias"
        inputs = [
            self._add(f"{name}_quantized", rounded.astype(np.int32)),
            self._add(f"{name}_scale", np.broadcast_to(scale, bias.shape).copy()),
        ]
        made = onnx.helper.make_node("DequantizeLinear", inputs, [f"{name}_dequantized"], axis=0)
        made.name = name
        self._graph.node.insert(self._place(node), made)
        node.input[2] = made.output[0]

    def drop_unread(self) -> None:
        """Remove constants and dequantizers that nothing reads any more."""
        outputs = {value.name for value in self._graph.output}
        while True:
            read = outputs | {name for node in self._graph.node for name in node.input}
            dead = [node for node in self._graph.node if not read & set(node.output)]
            for node in dead:
                self._graph.node.remove(node)
            if not dead:
                break
        for tensor in [tensor for tensor in self._graph.initializer if tensor.name not in read]:
            self._graph.initializer.remove(tensor)

    def _array(self, name: str) -> NDArray[Any]:
        import onnx

        array: NDArray[Any] = onnx.numpy_helper.to_array(self._constants[name])
        return array

    def _add(self, name: str, array: NDArray[Any]) -> str:
        import onnx

        if name not in self._constants:
            tensor = onnx.numpy_helper.from_array(array, name)
            self._graph.initializer.append(tensor)
            self._constants[name] = tensor
        return name

    def _place(self, node: Any) -> int:
        return next(index for index, other in enumerate(self._graph.node) if other.output[:] == node.output[:])

    def _replace(self, node: Any, made: Any) -> None:
        at = self._place(node)
        self._graph.node.remove(node)
        self._graph.node.insert(at, made)
        self._makers[made.output[0]] = made
