import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from harness.engines import weights

DTYPES = ["float64", "float32", "float16", "int64", "int32", "int16", "int8", "uint8", "uint16", "bool"]


def arrays() -> st.SearchStrategy[np.ndarray]:
    return st.sampled_from(DTYPES).flatmap(
        lambda dtype: hnp.arrays(
            dtype,
            hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=9),
            fill=st.just(np.dtype(dtype).type(0)),
        )
    )


def names() -> st.SearchStrategy[str]:
    return st.text("ab.#", min_size=1, max_size=4) | st.sampled_from(["w", "w#bitmap", "w#values"])


@given(tensors=st.dictionaries(names(), arrays(), max_size=5), sparse=st.booleans())
@settings(max_examples=150, deadline=None)
def test_round_trip_keeps_every_bit(
    tmp_path_factory: pytest.TempPathFactory, tensors: dict[str, np.ndarray], sparse: bool
) -> None:
    """Whatever is stored comes back with its name, dtype, shape and bits, dense or sparse."""
    path = tmp_path_factory.mktemp("weights") / "w.safetensors"
    weights.save(tensors, path, sparse=sparse)
    loaded = weights.load(path)
    assert {name: (a.dtype, a.shape, a.tobytes()) for name, a in tensors.items()} == {
        name: (a.dtype, a.shape, a.tobytes()) for name, a in loaded.items()
    }


def test_negative_zero_and_nan_survive_the_bitmap(tmp_path: Path) -> None:
    """Zero means a pattern of zero bits: -0.0 and NaN with its payload are values."""
    tensor = np.zeros(256, dtype=np.float32)
    tensor[3], tensor[5] = -0.0, np.array(0x7FC00123, dtype=np.uint32).view(np.float32)
    weights.save({"w": tensor}, tmp_path / "w", sparse=True)
    assert (tmp_path / "w").stat().st_size < tensor.nbytes
    assert weights.load(tmp_path / "w")["w"].tobytes() == tensor.tobytes()


@pytest.mark.parametrize(("dtype", "expected"), [("float32", 0.3 + 1 / 32), ("int8", 0.3 + 1 / 8)])
def test_seventy_percent_zeros_take_bitmap_and_values(tmp_path: Path, dtype: str, expected: float) -> None:
    """A tensor that is 70% zeros takes 30% of its bytes and one bit per element."""
    tensor = np.ones(100_000, dtype=dtype)
    tensor[:70_000] = 0
    weights.save({"w": np.random.default_rng(0).permutation(tensor)}, tmp_path / "w", sparse=True)
    assert (tmp_path / "w").stat().st_size / tensor.nbytes == pytest.approx(expected, abs=0.005)


def test_dense_tensor_is_stored_as_it_is(tmp_path: Path) -> None:
    """Where a bitmap would cost bytes, the tensor lies in the file under its own name, for any safetensors reader."""
    from safetensors.numpy import load_file

    tensor = np.arange(1, 101, dtype=np.float32)
    weights.save({"w": tensor}, tmp_path / "w", sparse=True)
    assert {"w": tensor.tolist()} == {name: a.tolist() for name, a in load_file(tmp_path / "w").items()}


def test_without_sparse_zeros_are_stored_in_full(tmp_path: Path) -> None:
    """A dense file keeps its zeros, so that its size tells what dense storage costs."""
    weights.save({"w": np.zeros(1000, dtype=np.float32)}, tmp_path / "w", sparse=False)
    assert (tmp_path / "w").stat().st_size > 4000


def test_foreign_safetensors_file_is_read(tmp_path: Path) -> None:
    """A file that another program wrote, without our metadata, is read as it is."""
    from safetensors.numpy import save_file

    save_file({"a": np.ones(3, dtype=np.int8)}, tmp_path / "w", metadata={"note": json.dumps({})})
    assert weights.load(tmp_path / "w")["a"].tolist() == [1, 1, 1]
