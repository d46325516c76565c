"""Linear layers whose pruned weights are multiplied without their zeros, for the engine that runs modules eagerly.

``csr`` takes the layers that compressed rows make smaller, at less than about half of the weights left, on any
device; ``2:4`` takes the 16-bit weights with two zeros in every four, and NVIDIA's tensor cores from capability 8.0.
The module must not know how the zeros came about.
"""

from __future__ import annotations

import warnings
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from results.errors import UnsupportedError

if TYPE_CHECKING:
    from torch import Tensor, nn

INDEX_BYTES: Final = 4
"""Of a column's number, and of a row's beginning."""
GROUP: Final = 4


def with_layout(module: nn.Module, layout: str, device: str) -> nn.Module:
    """Put a module's pruned linear weights into a layout, in place.

    Args:
        module: on its device, in eval mode.
        layout: ``dense``, ``csr`` or ``2:4``.
        device: ``cpu`` or ``cuda``.

    Raises:
        UnsupportedError: if the device has no kernels for it, or no layer gains by it.
    """
    if layout == "csr":
        _to_csr(module)
    elif layout == "2:4":
        if device != "cuda":
            what = "2:4 sparse products are a mode of NVIDIA's tensor cores, and torch has no kernel for it on a CPU"
            raise UnsupportedError(what, where="placements", fix="use `device: cuda`, or leave `sparse-2-4` out")
        _to_semi_structured(module)
    return module


def _to_csr(module: nn.Module) -> None:
    import torch
    from torch import nn

    chosen = [
        (path, layer)
        for path, layer in module.named_modules()
        if path and type(layer) is nn.Linear and layer.weight.dtype == torch.float32 and _gains(layer.weight)
    ]
    if not chosen:
        what = "no linear layer has zeros enough for compressed rows to be smaller than the dense matrix"
        raise UnsupportedError(what, where="csr", fix="prune beyond half of the weights, or use `load: dense`")
    for path, layer in chosen:
        parent, _, name = path.rpartition(".")
        setattr(module.get_submodule(parent), name, _csr_linear()(layer))


def _gains(weight: Tensor) -> bool:
    kept, rows = int(weight.count_nonzero()), weight.shape[0]
    return (
        kept * (weight.element_size() + INDEX_BYTES) + (rows + 1) * INDEX_BYTES < weight.numel() * weight.element_size()
    )


@cache
def _csr_linear() -> Any:
    """The layer's class, made when torch is first needed."""
    import torch
    from torch import nn

    class CsrLinear(nn.Module):
        """``[…, in] → […, out]`` by ``aten::_sparse_mm`` of the weights that are not zero."""

        def __init__(self, linear: nn.Linear) -> None:
            super().__init__()
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", "Sparse CSR tensor support is in beta", UserWarning)
                rows = linear.weight.detach().to_sparse_csr()
                self.weight = torch.sparse_csr_tensor(
                    rows.crow_indices().int(),
                    rows.col_indices().int(),
                    rows.values(),
                    size=rows.shape,
                    check_invariants=True,
                )
            self.bias = linear.bias

        def forward(self, given: Tensor) -> Tensor:
            """Multiply from the left, as the kernel wants it, and turn the answer back."""
            columns = given.reshape(-1, given.shape[-1]).t().to(self.weight.dtype)
            answer: Tensor = torch.sparse.mm(self.weight, columns).t()
            answer = answer if self.bias is None else answer + self.bias
            return answer.reshape(*given.shape[:-1], -1)

    return CsrLinear


def _to_semi_structured(module: nn.Module) -> None:
    import torch
    from torch import nn
    from torch.sparse import to_sparse_semi_structured

    halves = (torch.float16, torch.bfloat16)
    chosen = [
        layer
        for layer in module.modules()
        if isinstance(layer, nn.Linear) and layer.weight.dtype in halves and _is_two_of_four(layer.weight)
    ]
    if not chosen:
        what = "no linear layer has 16-bit weights with two zeros in every four"
        raise UnsupportedError(what, where="2:4", fix="let `sparse-2-4` be the last step that changes weights")
    for layer in chosen:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "The PyTorch API of SparseSemiStructuredTensor", UserWarning)
            sparse: Any = to_sparse_semi_structured(layer.weight.detach())
            layer.weight = nn.Parameter(sparse, requires_grad=False)


def _is_two_of_four(weight: Tensor) -> bool:
    if weight.shape[1] % GROUP:
        return False
    return bool((weight.reshape(-1, GROUP) != 0).sum(dim=1).max() <= GROUP // 2)
