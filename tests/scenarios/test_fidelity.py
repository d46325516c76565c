import numpy as np
import pytest

from scenarios.workloads.fidelity import fidelity


def test_classes_agree_where_the_largest_entry_does() -> None:
    """For ``[examples, classes]`` an example counts when both models name the same class."""
    reference = np.array([[1.0, 2.0], [3.0, 0.0], [0.0, 1.0]])
    outputs = (np.array([[5.0, 6.0], [0.0, 3.0], [-2.0, -1.0]]),)
    assert fidelity(outputs, reference).tolist() == [1.0, 0.0, 1.0]


def test_other_shapes_are_judged_by_cosine() -> None:
    """Same direction 1, opposite -1, orthogonal 0, whatever the lengths."""
    reference = np.array([[[1.0, 0.0]], [[1.0, 0.0]], [[1.0, 0.0]]])
    outputs = (np.array([[[9.0, 0.0]], [[-2.0, 0.0]], [[0.0, 3.0]]]),)
    assert fidelity(outputs, reference).tolist() == [1.0, -1.0, 0.0]


def test_one_column_is_no_class() -> None:
    """A regression's single column has no largest entry to agree on: it is judged by cosine."""
    assert fidelity((np.array([[-1.0], [2.0]]),), np.array([[1.0], [1.0]])).tolist() == [-1.0, 1.0]


def test_zero_answers_agree_only_with_zero() -> None:
    """Two zero answers are the same answer; one alone has no direction."""
    zero, one = np.zeros((1, 1, 2)), np.ones((1, 1, 2))
    assert [fidelity((zero,), zero)[0], fidelity((zero,), one)[0], fidelity((one,), zero)[0]] == [1.0, 0.0, 0.0]


@pytest.mark.parametrize("shape", [(1, 3), (1, 2, 2)])
def test_nan_is_never_faithful(shape: tuple[int, ...]) -> None:
    """An answer with NaN scores 0, even against itself."""
    broken = np.ones(shape)
    broken.flat[0] = np.nan
    assert fidelity((broken,), broken).tolist() == [0.0]


def test_half_precision_does_not_overflow() -> None:
    """Large 16-bit answers are compared in 64 bits."""
    large = np.full((1, 2, 2), 60_000.0, dtype=np.float16)
    assert fidelity((large,), large.astype(np.float32)) == pytest.approx([1.0])


def test_other_shape_is_an_error() -> None:
    """An answer of another shape cannot be compared, and both shapes are told."""
    with pytest.raises(ValueError, match=r"\(1, 2\).*\(1, 3\)"):
        fidelity((np.ones((1, 2)),), np.ones((1, 3)))
