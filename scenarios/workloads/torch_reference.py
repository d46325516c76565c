"""The fp32 answers of a torch module to seeded inputs, for own models that come as one.

It must not know where the module came from.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from results.errors import ConfigError
from scenarios.workloads.protocol import Network, Prepared
from scenarios.workloads.seeded_inputs import InputSpec, draw

if TYPE_CHECKING:
    from torch import Tensor, nn

REFERENCE_BATCH: Final = 32


def prepared(network: Network, specs: Mapping[str, InputSpec], examples: int, seed: int, where: str) -> Prepared:
    """Draw test and calibration inputs from separate seeded streams, and label the former by the network's answers.

    Raises:
        ConfigError: naming ``where``, if the module does not run on these inputs.
    """
    test, calibration = np.random.default_rng(seed).spawn(2)
    inputs = draw(specs, examples, test)
    return Prepared(
        inputs=inputs,
        labels=_answers(network.module, inputs, examples, where),
        calibration=draw(specs, examples, calibration),
        network=network,
    )


def first_tensor(answer: Any) -> Tensor:
    """The first tensor of what a module gave: a tensor, a sequence or a mapping.

    Raises:
        TypeError: if there is none.
    """
    import torch

    values = (
        answer.values() if isinstance(answer, Mapping) else answer if isinstance(answer, (list, tuple)) else [answer]
    )
    for value in values:
        if isinstance(value, torch.Tensor):
            return value
    raise TypeError(f"gave {type(answer).__name__} and no tensor in it")


def _answers(module: nn.Module, inputs: Mapping[str, NDArray[Any]], examples: int, where: str) -> NDArray[Any]:
    import torch

    answers = []
    try:
        with torch.inference_mode():
            for start in range(0, examples, REFERENCE_BATCH):
                batch = [torch.from_numpy(array[start : start + REFERENCE_BATCH]) for array in inputs.values()]
                answers.append(first_tensor(module(*batch)).float().numpy())
        answer = np.concatenate(answers)
    except Exception as error:  # the user's own code may raise anything
        what = f"the model does not run on these inputs: {type(error).__name__}: {error}"
        raise ConfigError(what, where=where, fix="check shapes, dtypes, ranges and the order in `inputs`") from error
    if len(answer) != examples:
        what = f"the first output has {len(answer)} rows for {examples} examples"
        raise ConfigError(what, where=where, fix="make the model's output begin with the batch")
    return np.asarray(answer)
