import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scenarios.workloads.seeded_inputs import DTYPES, InputSpec, draw, tokens_of


def drawn(**settings: object) -> np.ndarray:
    return InputSpec(**{"shape": ("batch", 1000), **settings}).draw(2, np.random.default_rng(0))  # type: ignore[arg-type]


@given(dtype=st.sampled_from(DTYPES), sizes=st.lists(st.integers(1, 4), max_size=3), examples=st.integers(1, 5))
def test_shape_and_dtype_are_as_declared(dtype: str, sizes: list[int], examples: int) -> None:
    """``batch`` becomes the number of examples; the rest is as written."""
    array = InputSpec(shape=("batch", *sizes), dtype=dtype).draw(examples, np.random.default_rng(0))
    assert (array.shape, array.dtype) == ((examples, *sizes), np.dtype(dtype))


def test_floats_are_standard_normal_unless_bounded() -> None:
    """Without bounds mean 0 and deviation 1; with them, uniform between."""
    normal, bounded = drawn(), drawn(low=2, high=4)
    assert (normal.mean(), normal.std()) == (pytest.approx(0, abs=0.1), pytest.approx(1, abs=0.1))
    assert 2 <= bounded.min() < 2.1
    assert 3.9 < bounded.max() < 4


def test_integers_stay_below_high() -> None:
    """An id is drawn from 0 to below ``high``."""
    assert set(drawn(dtype="int64", high=3).flat) == {0, 1, 2}


def test_fill_is_a_constant() -> None:
    """An attention mask of ones is written ``fill: 1``."""
    assert set(drawn(dtype="int64", fill=1).flat) == {1}


def test_same_seed_gives_the_same_inputs_in_order() -> None:
    """Inputs follow from the stream and keep the order they were declared in."""
    specs = {"b": InputSpec(shape=("batch", 2)), "a": InputSpec(shape=("batch",), dtype="int32", high=9)}
    one, other = (draw(specs, 4, np.random.default_rng(5)) for _ in range(2))
    assert list(one) == ["b", "a"]
    assert all(np.array_equal(one[name], other[name]) for name in specs)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"shape": ()}, "first entry must be `batch`"),
        ({"shape": (4, "batch")}, "first entry must be `batch`"),
        ({"shape": ("batch", 0)}, "positive whole numbers"),
        ({"shape": ("batch", "sequence")}, "positive whole numbers"),
        ({"shape": ("batch", True)}, "positive whole numbers"),
        ({"shape": ("batch",), "dtype": "float31"}, "must be one of float32"),
        ({"shape": ("batch",), "low": 3.0, "high": 3.0}, "low must be below high"),
        ({"shape": ("batch",), "fill": 1.0, "high": 3.0}, "fill is a constant"),
        ({"shape": ("batch",), "dtype": "int8", "high": 300.0}, "int8 holds values from -128 to 127"),
        ({"shape": ("batch",), "dtype": "uint8", "fill": -1.0}, "uint8 holds values from 0 to 255"),
    ],
)
def test_senseless_input_is_refused(settings: dict[str, object], message: str) -> None:
    """What cannot be drawn is refused with what would do."""
    with pytest.raises(ValueError, match=message):
        InputSpec(**settings)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "shape", "dtype", "tokens"),
    [
        ("input_ids", ("batch", 128), "int64", 128),
        ("input_ids", ("batch", 128), "float32", None),
        ("input_ids", ("batch", 128, 2), "int64", None),
        ("pixels", ("batch", 128), "int64", None),
    ],
)
def test_tokens_are_those_of_input_ids(name: str, shape: tuple[int | str, ...], dtype: str, tokens: int | None) -> None:
    """An int64 sequence by that name is tokens; anything else is not taken for them."""
    assert (
        tokens_of({"mask": InputSpec(shape=("batch", 7), dtype="int64"), name: InputSpec(shape=shape, dtype=dtype)})
        == tokens
    )
