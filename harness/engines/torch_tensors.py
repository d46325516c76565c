"""Between arrays and tensors, for the engines that torch carries.

It must not know which engine asks.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor


def moved(inputs: Mapping[str, NDArray[Any]], order: Iterable[str], device: str) -> tuple[Tensor, ...]:
    """Copies of named arrays as tensors on a device, in the order given."""
    import torch

    return tuple(torch.tensor(inputs[name], device=device) for name in order)


def arrays(answer: Any) -> tuple[NDArray[Any], ...]:
    """Every tensor of an answer, however nested, in order; 16-bit floats widened to fp32."""
    return tuple(_widened(tensor) for tensor in _tensors(answer))


def _tensors(answer: Any) -> Iterator[Tensor]:
    import torch

    if isinstance(answer, torch.Tensor):
        yield answer
    elif isinstance(answer, Mapping):
        for value in answer.values():
            yield from _tensors(value)
    elif isinstance(answer, (list, tuple)):
        for value in answer:
            yield from _tensors(value)


def _widened(tensor: Tensor) -> NDArray[Any]:
    import torch

    host = tensor.detach().cpu()
    array: NDArray[Any] = (host.float() if host.dtype in {torch.bfloat16, torch.float16} else host).numpy()
    return array
