"""How sure a classifier is of its answer, in numpy alone: what an early exit goes by, in its trial and when calibrated.

It must not know which exit asks.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def confidence(logits: NDArray[Any]) -> NDArray[np.float32]:
    """The largest class probability of each example, ``[examples, …, classes] → [examples]``.

    Where an example has many answers, as a sequence has one for each token, it is their mean.
    """
    shifted = logits - logits.max(axis=-1, keepdims=True)
    largest: NDArray[np.float32] = 1.0 / np.exp(shifted, dtype=np.float32).sum(axis=-1)
    return largest.reshape(len(largest), -1).mean(axis=1) if largest.ndim > 1 else largest
