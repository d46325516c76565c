from __future__ import annotations

import pytest

from collectors.cuda_visible import Choice, choose

UUIDS = ("GPU-aa00", "GPU-ab00", "GPU-bb00")
SAME = ("H200",) * 3
MIXED = ("H200", "L4", "H200")


def chosen(index: int, visible: str | None, models: tuple[str, ...] = SAME, **environ: str) -> Choice | str:
    """The choice with and without the variable set."""
    variables = environ if visible is None else {**environ, "CUDA_VISIBLE_DEVICES": visible}
    return choose(index, uuids=UUIDS, models=models, environ=variables)


@pytest.mark.parametrize(
    ("visible", "index", "position"),
    [
        (None, 0, 0),
        (None, 2, 2),
        ("2", 0, 2),
        (" 2 , 0 ", 1, 0),
        ("GPU-ab", 0, 1),
        ("GPU-bb00,0", 1, 0),
    ],
)
def test_indices_and_uuid_beginnings_name_boards(visible: str | None, index: int, position: int) -> None:
    """CUDA's index counts along the variable's list."""
    assert chosen(index, visible) == Choice(position=position, order_assumed=False)


@pytest.mark.parametrize(
    ("visible", "index"),
    [
        (None, 3),
        (None, -1),
        ("", 0),
        ("-1", 0),
        ("NoDevFiles", 0),
        ("0,-1,1", 1),
        ("0,7,1", 1),
        ("0,0,1", 1),
        ("GPU-a", 0),
        ("GPU-zz", 0),
        ("aa00", 0),
        ("²", 0),
    ],
)
def test_the_list_ends_at_the_first_entry_that_names_no_single_new_board(visible: str | None, index: int) -> None:
    """Invalid, repeated and ambiguous entries hide themselves and all that follows, as CUDA does."""
    assert f"there is no GPU {index}" in str(chosen(index, visible))


def test_an_instance_of_a_board_is_refused() -> None:
    """A MIG UUID names a slice, and NVML counts the board."""
    assert "MIG instance" in str(chosen(0, "MIG-1234"))


def test_the_order_is_assumed_only_where_boards_differ_and_only_an_index_names_one() -> None:
    """CUDA counts the fastest first by default and NVML by bus: among unlike boards the two may differ."""
    assert chosen(0, None, MIXED) == Choice(position=0, order_assumed=True)
    assert chosen(0, "1", MIXED) == Choice(position=1, order_assumed=True)
    assert chosen(0, "GPU-ab", MIXED) == Choice(position=1, order_assumed=False)
    assert chosen(0, "1", MIXED, CUDA_DEVICE_ORDER="PCI_BUS_ID") == Choice(position=1, order_assumed=False)
