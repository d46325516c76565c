"""Int8 in a program: which tensors of a network are quantized, and the way from a network to its int8 program.

torchao's PT2E flow puts quantize and dequantize operators into what ``torch.export`` traced. Where they stand decides
what a runtime can fuse: here around every convolution and linear layer, around the additions and poolings between
convolutions, and after a convolution's ReLU, so that both torch's compiler and ONNX Runtime find whole int8 kernels.
Activations are unsigned, weights signed and symmetric by output channel, as VNNI and oneDNN want them. The module
must not know which recipe asks, nor which runtime will fuse.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final

from numpy.typing import NDArray

from harness.variants.instruction_set import has_int8_dot_product
from harness.variants.tracing import traced, without_chatter
from results.errors import MissingExtraError, UnsupportedError

BATCH: Final = 16
"""Examples that calibrate at a time."""
OPERATORS: Final = ("auto", "all", "matmul", "conv")


def toolchain() -> Mapping[str, str]:
    """The version of torchao, which is an extra, without importing it; nothing where it is not installed."""
    with suppress(PackageNotFoundError):
        return {"torchao": version("torchao")}
    return {}


def prepared(program: Any, operators: str, *, training: bool, where: str) -> Any:
    """The program as a module that observes its ranges, and that rounds to them where it is for training.

    Args:
        program: of ``torch.export``.
        operators: ``matmul`` or ``conv`` for linear layers or convolutions alone, else both.
        training: whether the module is to be trained with its roundings.
        where: what an error names.

    Raises:
        MissingExtraError: without torchao.
        UnsupportedError: if the network has none of the operators.
    """
    flow = _torchao()
    quantizer = _quantizer()(operators, training)
    prepare = flow.prepare_qat_pt2e if training else flow.prepare_pt2e
    module = program.module()
    _fold_norms(module)
    with without_chatter():
        module = prepare(module, quantizer)
    _set_modeless(module)
    if not quantizer.products:
        kinds = {"matmul": "linear layer", "conv": "convolution"}.get(operators, "convolution or linear layer")
        raise UnsupportedError(f"the network calls no {kinds} with weights of its own", where=where)
    return module


def calibrate(module: Any, inputs: Mapping[str, NDArray[Any]]) -> None:
    """Let a prepared module see inputs, name → ``[examples, …]``, in the order it takes them."""
    import torch

    with torch.no_grad():
        for start in range(0, min(len(array) for array in inputs.values()), BATCH):
            module(*(torch.from_numpy(array[start : start + BATCH]) for array in inputs.values()))


def converted(module: Any, example: Mapping[str, NDArray[Any]], where: str) -> Any:
    """The int8 program of a prepared module: weights as 8-bit constants, and no fp32 copy beside them."""
    with without_chatter():
        quantized = _torchao().convert_pt2e(module)
    _drop_unused(quantized)
    _rename_constants(quantized)
    _set_modeless(quantized)
    return traced(quantized, example, where)


def _torchao() -> Any:
    try:
        with without_chatter():
            from torchao.quantization.pt2e import quantize_pt2e
    except ImportError as error:
        fix = "pip install 'joulemark[compress]'"
        raise MissingExtraError("int8 by torch needs torchao", where="torchao", fix=fix) from error
    return quantize_pt2e


def _fold_norms(module: Any) -> None:
    """Fold each batch normalisation into the convolution before it, in a graph that was traced for answering.

    Before training too: its statistics have settled when the network was first trained, and torchao's own way of
    training around it takes a minute to match its patterns.
    """
    import torch
    from torch.nn.utils.fusion import fuse_conv_bn_weights

    def read(node: Any) -> Any:
        return None if node is None else module.get_parameter(node.target)

    for norm in [node for node in module.graph.nodes if node.target is torch.ops.aten.batch_norm.default]:
        conv = norm.args[0]
        if conv.op != "call_function" or "conv2d" not in str(conv.target) or len(conv.users) > 1:
            continue
        given, weight, bias, *rest = (*conv.args, None) if len(conv.args) == 2 else conv.args
        gain, offset, mean, variance = norm.args[1:5]
        statistics = (module.get_buffer(mean.target), module.get_buffer(variance.target))
        folded = fuse_conv_bn_weights(read(weight), read(bias), *statistics, norm.args[7], read(gain), read(offset))
        names = [f"{weight.target}_folded".replace(".", "_"), f"{weight.target}_folded_bias".replace(".", "_")]
        with module.graph.inserting_before(conv):
            for name, parameter in zip(names, folded, strict=True):
                module.register_parameter(name, parameter)
            conv.args = (given, *(module.graph.get_attr(name) for name in names), *rest)
        norm.replace_all_uses_with(conv)
        module.graph.erase_node(norm)
    module.recompile()
    _drop_unused(module)


def _set_modeless(module: Any) -> None:
    """Let a graph's module be told to train or to answer: the graph does the same in both, and torchao's raises."""
    module.train = module.eval = lambda *_: module
    module.training = False


def _drop_unused(module: Any) -> None:
    """Remove parameters and buffers that the graph does not read, as the fp32 weights that were rounded."""
    read = {node.target for node in module.graph.nodes if node.op == "get_attr"}
    held = {name for name, _ in [*module.named_parameters(), *module.named_buffers()]}
    for name in held - read:
        parent, _, leaf = name.rpartition(".")
        delattr(module.get_submodule(parent), leaf)


def _rename_constants(module: Any) -> None:
    """Give folded weights names of their own: those of torchao are also what torch's compiler calls what it folds."""
    for node in module.graph.nodes:
        if node.op == "get_attr" and (tail := node.target.removeprefix("_frozen_param")) != node.target:
            name = f"int8_weight_{tail}"
            if not hasattr(module, name):
                module.register_buffer(name, getattr(module, node.target))
            node.target = name
    _drop_unused(module)
    module.recompile()


@cache
def _quantizer() -> Any:
    """The quantizer's class, made when torchao is first needed.

    torchao's own for this processor is not used: importing it changes settings of torch's compiler for the whole
    process, and it leaves a convolution's answer in fp32 where an addition follows, which ONNX Runtime cannot fuse.
    """
    import torch
    from torchao.quantization.pt2e import quantizer as annotations

    aten = torch.ops.aten
    convolutions = {aten.conv2d.default, aten.conv2d.padding}
    relus = {aten.relu.default, aten.relu_.default, aten.hardtanh.default, aten.hardtanh_.default}
    additions = {aten.add.Tensor, aten.add_.Tensor}
    same_range = {aten.max_pool2d.default}

    def annotate(node: Any, inputs: dict[Any, Any], output: Any = None) -> None:
        node.meta["quantization_annotation"] = annotations.QuantizationAnnotation(
            input_qspec_map=inputs, output_qspec=output, _annotated=True
        )

    def last_of(node: Any) -> Any:
        """The node that ends a fused operator: a ReLU that alone reads what comes before it."""
        users = list(node.users)
        return users[0] if len(users) == 1 and users[0].target in relus else node

    class Int8(annotations.Quantizer):  # type: ignore[misc]  # torchao's classes are untyped
        """Annotates a traced graph; ``products`` is how many convolutions and linear layers it found."""

        def __init__(self, operators: str, training: bool) -> None:
            super().__init__()
            linear, conv = {aten.linear.default}, convolutions
            self.products, self._kinds = 0, {"matmul": linear, "conv": conv}.get(operators, linear | conv)
            self._activation, self._weight = _specifications(training)

        def annotate(self, model: Any) -> Any:
            """Mark what is to be quantized."""
            spatial: set[Any] = set()
            for node in model.graph.nodes:
                if node.target in self._kinds and node.args[1].op == "get_attr":
                    self._product(node, spatial)
                elif node.target in additions and spatial & set(node.args):
                    self._addition(node, spatial)
                elif node.target in same_range and node.args[0] in spatial:
                    shared = annotations.SharedQuantizationSpec((node.args[0], node))
                    annotate(node, {node.args[0]: self._activation}, shared)
                    spatial.add(node)
            return model

        def _product(self, node: Any, spatial: set[Any]) -> None:
            self.products += 1
            annotate(node, {node.args[0]: self._activation, node.args[1]: self._weight})
            if node.target in convolutions:
                self._leave(node, spatial)

        def _addition(self, node: Any, spatial: set[Any]) -> None:
            tensors = [given for given in node.args if isinstance(given, torch.fx.Node)]
            annotate(node, dict.fromkeys(tensors, self._activation))
            self._leave(node, spatial)

        def _leave(self, node: Any, spatial: set[Any]) -> None:
            """Quantize what leaves a fused operator, and remember it as a tensor between convolutions."""
            last = last_of(node)
            spatial.add(last)
            if last is node:
                last.meta["quantization_annotation"].output_qspec = self._activation
            else:
                annotate(last, {}, self._activation)

        def validate(self, model: Any) -> None:
            """Nothing to check: only what is supported was marked."""

    return Int8


def _specifications(training: bool) -> tuple[Any, Any]:
    """How activations and weights are quantized; ranges by minimum and maximum, followed slowly while training."""
    import torch
    from torchao.quantization.pt2e import fake_quantize, observer
    from torchao.quantization.pt2e.quantizer import QuantizationSpec

    tiny = {"eps": 2**-12}
    if training:
        rounding = fake_quantize.FusedMovingAvgObsFakeQuantize
        ranges = rounding.with_args(observer=observer.MovingAverageMinMaxObserver, **tiny)
        by_channel = rounding.with_args(observer=observer.MovingAveragePerChannelMinMaxObserver, **tiny)
    else:
        ranges = observer.MinMaxObserver.with_args(**tiny)
        by_channel = observer.PerChannelMinMaxObserver.with_args(**tiny)
    activation = QuantizationSpec(
        dtype=torch.uint8,
        observer_or_fake_quant_ctr=ranges,
        quant_min=0,
        quant_max=255,
        qscheme=torch.per_tensor_affine,
    )
    bits = 8 if has_int8_dot_product() else 7
    weight = QuantizationSpec(
        dtype=torch.int8,
        observer_or_fake_quant_ctr=by_channel,
        quant_min=-(2 ** (bits - 1)),
        quant_max=2 ** (bits - 1) - 1,
        qscheme=torch.per_channel_symmetric,
        ch_axis=0,
    )
    return activation, weight
