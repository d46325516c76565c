"""Fidelity: how far a model still answers as its own fp32 did, for models that come without labels.

Pure. It must not know how either answer was obtained, and it is no accuracy: a variant that is faithful to a bad
model is as bad.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from scenarios.workloads.protocol import Quality

FIDELITY: Final = Quality(name="fidelity to its own fp32", fidelity=True)


def fidelity(outputs: tuple[NDArray[Any], ...], reference: NDArray[Any]) -> NDArray[np.float64]:
    """Compare the first output with the reference, example by example.

    Args:
        outputs: the model's outputs; the first has the reference's shape.
        reference: the fp32 model's first output, ``[examples, …]``.

    Returns:
        ``[examples]``. For answers of shape ``[examples, classes]`` with two classes or more: 1 where both have the
        same largest entry, else 0. For any other shape: the cosine of the two answers, from -1 to 1. An answer that
        holds NaN scores 0.

    Raises:
        ValueError: if the shapes differ.
    """
    answers = outputs[0]
    if answers.shape != reference.shape:
        raise ValueError(f"the first output has shape {answers.shape}, the fp32 model's has {reference.shape}")
    flat = answers.reshape(len(answers), -1).astype(np.float64)
    expected = reference.reshape(len(reference), -1).astype(np.float64)
    if reference.ndim == 2 and reference.shape[1] >= 2:
        scores = (flat.argmax(axis=1) == expected.argmax(axis=1)).astype(np.float64)
    else:
        scores = _cosine(flat, expected)
    return np.where(np.isnan(flat).any(axis=1), 0.0, scores)


def _cosine(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    """Cosine by row; two rows of zeros are the same answer, and one alone has no direction to agree in."""
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
        norms = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
        cosine = np.einsum("ij,ij->i", one, other) / norms
    alike = np.all(one == other, axis=1).astype(np.float64)
    scores: NDArray[np.float64] = np.where(np.isfinite(cosine), np.clip(cosine, -1.0, 1.0), alike)
    return scores
