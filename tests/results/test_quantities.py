import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from results.errors import UsageError
from results.quantities import SIGNED, UNITS, Dimension, parse_quantity

ALL_UNITS = [(dimension, unit) for dimension, known in UNITS.items() for unit in known]
EVERY_UNIT = {unit for _, unit in ALL_UNITS}


@pytest.mark.parametrize(
    ("text", "dimension", "value"),
    [
        ("50ms", Dimension.TIME, 0.05),
        ("250 us", Dimension.TIME, 250e-6),
        ("250µs", Dimension.TIME, 250e-6),
        ("3e2ns", Dimension.TIME, 300e-9),
        ("2GB", Dimension.BYTES, 2e9),
        ("2GiB", Dimension.BYTES, 2 * 2**30),
        ("1.5 MiB", Dimension.BYTES, 1.5 * 2**20),
        ("512KiB", Dimension.BYTES, 512 * 1024),
        ("8kB", Dimension.BYTES, 8000),
        (".5mJ", Dimension.ENERGY, 0.0005),
        ("2Wh", Dimension.ENERGY, 7200.0),
        ("1kJ", Dimension.ENERGY, 1000.0),
        ("20mg", Dimension.MASS, 0.02),
        ("1kg", Dimension.MASS, 1000.0),
        ("15W", Dimension.POWER, 15.0),
        ("1000/s", Dimension.RATE, 1000.0),
        ("600/min", Dimension.RATE, 10.0),
        ("1%", Dimension.SHARE, 0.01),
        ("0.9", Dimension.SHARE, 0.9),
        ("-2pt", Dimension.SHARE, -0.02),
        ("0.05", Dimension.NUMBER, 0.05),
    ],
)
def test_a_quantity_is_read_in_si_units(text: str, dimension: Dimension, value: float) -> None:
    """Prefixes are decimal but for those with an i; a space and an exponent do not matter."""
    assert parse_quantity(text, dimension, where="--max x") == pytest.approx(value, rel=1e-12)


@settings(deadline=None)
@given(
    st.sampled_from(ALL_UNITS),
    st.floats(min_value=0, max_value=1e12, allow_nan=False),
    st.sampled_from(["", " ", "  "]),
)
def test_every_unit_of_a_dimension_scales_by_its_factor(kind: tuple[Dimension, str], number: float, space: str) -> None:
    """Whatever the number, and however it is written."""
    dimension, unit = kind
    told = parse_quantity(f"{number!r}{space}{unit}", dimension, where="--max x")
    assert told == pytest.approx(number * UNITS[dimension][unit], rel=1e-12)


@settings(deadline=None)
@given(st.sampled_from(list(Dimension)), st.sampled_from(sorted(EVERY_UNIT)), st.integers(0, 1000))
def test_a_unit_of_another_dimension_is_refused_with_those_that_are_known(
    dimension: Dimension, unit: str, number: int
) -> None:
    """Bytes are no time, and a bare number is none either."""
    if unit in UNITS[dimension]:
        return
    with pytest.raises(UsageError) as caught:
        parse_quantity(f"{number}{unit}", dimension, where="--max x")
    assert caught.value.where == "--max x"
    assert all((known or "none") in (caught.value.fix or "") for known in UNITS[dimension])


@settings(deadline=None)
@given(st.text(max_size=12), st.sampled_from(list(Dimension)))
def test_whatever_is_typed_is_a_finite_quantity_or_a_usage_error(text: str, dimension: Dimension) -> None:
    """Nothing else ever comes of it."""
    try:
        value = parse_quantity(text, dimension, where="--max x")
    except UsageError:
        return
    assert math.isfinite(value)
    assert value >= 0 or dimension in SIGNED


@pytest.mark.parametrize("text", ["", "ms", "1.2.3ms", "nan", "inf", "1e999s", "-1ms", "1 m s", "0x10", "1_000ms"])
def test_what_is_no_quantity_is_refused(text: str) -> None:
    """With what could have been written."""
    with pytest.raises(UsageError, match="50ms"):
        parse_quantity(text, Dimension.TIME, where="--max latency_p99")
