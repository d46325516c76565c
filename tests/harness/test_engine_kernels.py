from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from harness.engines import aoti_source, torch_profile
from harness.engines.aotinductor import AotInductor
from harness.engines.onnxruntime_engine import OnnxRuntime
from harness.engines.ort_profile import kernels as nodes
from harness.engines.protocol import Profiled
from harness.engines.torch_eager import TorchEager
from harness.spec import Placement
from harness.variants.protocol import OnnxModel, TorchModel
from results.records import Kernel
from scenarios.workloads.digits_cnn import make_network
from scenarios.workloads.protocol import Network

CPU = Placement(threads=1)
ROW = {"x": np.linspace(-1, 1, 128, dtype=np.float32).reshape(2, 64)}
IMAGES = {"image": np.zeros((2, 1, 8, 8), dtype=np.float32)}
DIGITS = "scenarios.workloads.digits_cnn:make_network"


def products(found: Iterable[Kernel]) -> dict[str, int]:
    """Arithmetic → how many products ran in it."""
    counted: Counter[str] = Counter()
    for kernel in found:
        counted[kernel.precision] += kernel.calls if kernel.is_product else 0
    return dict(+counted)


def ran(network: nn.Module, *inputs: torch.Tensor) -> tuple[Kernel, ...]:
    """What a module runs for one query."""

    @torch.inference_mode()
    def answer(feed: tuple[torch.Tensor, ...]) -> Any:
        return network(*feed)

    return torch_profile.profiled(answer, inputs)


def graph(path: Path) -> OnnxModel:
    """A product in fp32, a ReLU, and one in int8 whose input is quantized on the fly."""
    rng = np.random.default_rng(0)
    weights = {
        "w": rng.standard_normal((64, 64)).astype(np.float32),
        "q": rng.integers(-9, 9, (64, 32)).astype(np.int8),
    }
    steps = [
        helper.make_node("MatMul", ["x", "w"], ["a"]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("DynamicQuantizeLinear", ["b"], ["c", "scale", "zero"]),
        helper.make_node("MatMulInteger", ["c", "q", "zero"], ["d"]),
        helper.make_node("Cast", ["d"], ["y"], to=TensorProto.FLOAT),
    ]
    made = helper.make_graph(
        steps,
        "two products",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 64])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 32])],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    onnx.save(helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), str(path))
    return OnnxModel(path=path)


@pytest.mark.parametrize("sparse_storage", [False, True])
def test_onnx_runtime_tells_the_nodes_that_ran_after_its_fusions(tmp_path: Path, *, sparse_storage: bool) -> None:
    """One product in fp32 and one in int8, whether the weights lie in the graph or beside it."""
    (tmp_path / "artifact").mkdir()
    made = OnnxModel(path=graph(tmp_path / "m.onnx").path, sparse_storage=sparse_storage)
    OnnxRuntime().export(made, ROW, tmp_path / "artifact")
    session = OnnxRuntime().load(tmp_path / "artifact", CPU)
    found = session.kernels(session.feed(ROW))
    assert isinstance(session, Profiled)
    assert products(found) == {"float32": 1, "int8": 1}
    assert [(k.precision, k.calls) for k in found if k.operator == "Relu"] == [("float32", 1)]
    assert {k.precision for k in found if k.operator in {"Cast", "DynamicQuantizeLinear"}} == {"other"}


def test_a_profile_of_onnx_runtime_is_counted_by_node_and_not_by_other_events() -> None:
    """Sessions' own events and a node's fences are no kernels; several nodes of one operator are one row."""
    node = {"op_name": "MatMulNBits", "input_type_shape": [{"float": [1, 8]}]}
    events = [
        {"cat": "Session", "name": "model_run", "args": {}},
        {"cat": "Node", "name": "a_fence_before", "args": node},
        {"cat": "Node", "name": "a_kernel_time", "args": node},
        {"cat": "Node", "name": "b_kernel_time", "args": node},
        {"cat": "Node", "name": "h_kernel_time", "args": {"op_name": "Gemm", "input_type_shape": [{"float16": [1]}]}},
        {"cat": "Node", "name": "s_kernel_time", "args": {"op_name": "Shape", "input_type_shape": [{"float": [1]}]}},
        {"cat": "Node", "name": "q_kernel_time", "args": {"op_name": "QLinearAdd", "input_type_shape": [{"int8": []}]}},
    ]
    assert nodes(events) == (
        Kernel(operator="Gemm", precision="float16", calls=1, is_product=True),
        Kernel(operator="MatMulNBits", precision="int4", calls=2, is_product=True),
        Kernel(operator="QLinearAdd", precision="int8", calls=1, is_product=False),
        Kernel(operator="Shape", precision="other", calls=1, is_product=False),
    )


@pytest.mark.parametrize(("autocast", "precision"), [(None, "float32"), ("bfloat16", "bfloat16")])
def test_a_product_of_torch_counts_once_in_what_autocast_made_of_it(
    tmp_path: Path, autocast: str | None, precision: str
) -> None:
    """The digits network has three convolutions and two linear layers, each several operators deep."""
    network = make_network().eval()
    expected = sum(isinstance(layer, nn.Conv2d | nn.Linear) for layer in network.modules())
    model = TorchModel(network=Network(module=network, factory=DIGITS), autocast=autocast)
    TorchEager().export(model, IMAGES, tmp_path)
    session = TorchEager().load(tmp_path, CPU)
    found = session.kernels(session.feed(IMAGES))
    assert isinstance(session, Profiled)
    assert products(found) == {precision: expected}


def test_the_products_inside_a_fused_layer_of_torch_are_found() -> None:
    """An encoder layer's fast path is one operator with six products below it."""
    layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True).eval()
    found = ran(layer, torch.zeros(2, 5, 16))
    assert products(found) == {"float32": 6}
    assert "aten::_transformer_encoder_layer_fwd" not in {kernel.operator for kernel in found}
    assert "aten::native_layer_norm" in {kernel.operator for kernel in found}


class _Whole(nn.Module):
    """A product of whole numbers, and one that only stores its weight so and computes in fp32."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.ones(64, 32, dtype=torch.int8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        whole = torch._int_mm(x.to(torch.int8), self.weight).float()
        return whole + x @ self.weight.float()


def test_weights_that_are_dequantized_first_are_no_int8_product() -> None:
    """What computes in fp32 is told as fp32, whatever it is stored in."""
    assert products(ran(_Whole(), torch.zeros(32, 64))) == {"int8": 1, "float32": 1}


@pytest.mark.filterwarnings("ignore:Sparse CSR tensor support:UserWarning")  # torch's own, of any CSR tensor
def test_a_product_with_a_sparse_weight_is_told_as_sparse() -> None:
    """A CSR weight is multiplied by a sparse kernel; the same weight dense is not."""
    weight = torch.eye(8)
    layer, sparse = nn.Linear(8, 8, bias=False), nn.Linear(8, 8, bias=False)
    layer.weight = nn.Parameter(weight, requires_grad=False)
    sparse.weight = nn.Parameter(weight.to_sparse_csr(), requires_grad=False)
    found = [products(torch_profile.profiled(one, torch.zeros(2, 8))) for one in (layer, sparse)]
    assert found == [{"float32": 1}, {"sparse": 1}]


@pytest.mark.parametrize(
    ("operator", "expected"),
    [
        ("addmm", True),
        ("_scaled_mm", True),
        ("mkldnn_convolution", True),
        ("_weight_int4pack_mm_for_cpu", True),
        ("_scaled_dot_product_flash_attention_for_cpu", True),
        ("qlinear_dynamic", True),
        ("_qlinear_pointwise", True),
        ("upsample_linear1d", False),
        ("mkldnn_reorder_conv2d_weight", False),
        ("_convert_weight_to_int4pack", False),
        ("comm", False),
        ("native_layer_norm", False),
    ],
)
def test_products_are_told_by_name(operator: str, *, expected: bool) -> None:
    """Convolutions, matrix products and attention; not what merely bears such a word in its name."""
    assert torch_profile.is_product(operator) == expected


class _Mixed(nn.Module):
    """Two products in bf16 and one of whole numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(64, 64), nn.Linear(64, 64)
        self.register_buffer("weight", torch.ones(64, 32, dtype=torch.int8))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        hidden = self.second(torch.relu(self.first(x.bfloat16())))
        return torch._int_mm(hidden.to(torch.int8), self.weight).float()


def make_mixed() -> nn.Module:
    """The module above, its layers in bf16."""
    made = _Mixed()
    made.first.bfloat16()
    made.second.bfloat16()
    return made.eval()


@pytest.mark.slow
def test_a_package_of_aotinductor_tells_the_kernels_that_its_code_calls(tmp_path: Path) -> None:
    """Both bf16 layers and the product of whole numbers, out of a package that was really compiled."""
    model = TorchModel(network=Network(module=make_mixed(), factory=f"{__name__}:make_mixed"))
    AotInductor().export(model, {"x": np.zeros((32, 64), dtype=np.float32)}, tmp_path)
    session = AotInductor().load(tmp_path, CPU)
    found = session.kernels([])
    assert isinstance(session, Profiled)
    assert products(found) == {"bfloat16": 2, "int8": 1}


def test_a_kernel_that_torch_wrote_out_itself_is_a_product_if_it_holds_one() -> None:
    """Of the fused kernels the one with an inner matrix product counts as such, in its factors' arithmetic."""
    wrapper = """
    constants_info_[0].name = "w"; constants_info_[0].dtype = cached_torch_dtype_bfloat16;
void AOTInductorModel::_const_run_impl(
    cpp_fused_before_9((const float*)(w.data_ptr()));
void AOTInductorModel::run_impl(
    AOTI_TORCH_ERROR_CODE_CHECK(aoti_torch_empty_strided(2, s, t, cached_torch_dtype_float32, d, i, &buf0_handle));
    cpp_fused_addmm_1((const at::BFloat16*)(w.data_ptr()), (const at::BFloat16*)(v.data_ptr()), (float*)(buf0));
    auto buf1 = std::move(buf0);  // reuse
    cpp_fused_relu_2((const float*)(buf1.data_ptr()));
    AOTI_TORCH_ERROR_CODE_CHECK(aoti_torch_cpu_bmm_out(buf2, buf1, buf1));
    AOTI_TORCH_ERROR_CODE_CHECK(aoti_torch_cpu__qlinear_pointwise_tensor(buf1, w, &buf3_handle));
"""
    assert aoti_source.called(wrapper, "inline void cpp_fused_addmm_1_micro_gemm(") == (
        Kernel(operator="_qlinear_pointwise_tensor", precision="int8", calls=1, is_product=True),
        Kernel(operator="bmm", precision="float32", calls=1, is_product=True),
        Kernel(operator="cpp_fused_addmm_1", precision="bfloat16", calls=1, is_product=True),
        Kernel(operator="cpp_fused_relu_2", precision="float32", calls=1, is_product=False),
    )


def test_what_an_int8_product_answers_in_is_what_it_was_asked_for() -> None:
    """Attention over the fp32 answers of int8 layers computes in fp32."""
    wrapper = """
    constants_info_[0].name = "w"; constants_info_[0].dtype = cached_torch_dtype_int8;
void AOTInductorModel::run_impl(
    AOTI_TORCH_ERROR_CODE_CHECK(aoti_torch_empty_strided(2, s, t, cached_torch_dtype_uint8, d, i, &buf0_handle));
    int32_t var_1 = cached_torch_dtype_float32;
    AOTI_TORCH_ERROR_CODE_CHECK(aoti_torch_cpu__qlinear_pointwise_tensor(buf0, w, &var_1, &buf1_handle));
    AOTI_TORCH_ERROR_CODE_CHECK(aoti_torch_cpu__scaled_dot_product_flash_attention_for_cpu(buf1, buf1, &buf2_handle));
"""
    found = aoti_source.called(wrapper, "")
    assert {kernel.operator: kernel.precision for kernel in found} == {
        "_qlinear_pointwise_tensor": "int8",
        "_scaled_dot_product_flash_attention_for_cpu": "float32",
    }
