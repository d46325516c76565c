import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from results.basis import CarbonBasis
from results.carbon import gco2e, gco2e_per_1k


def test_one_kilowatt_hour_emits_its_grid_intensity() -> None:
    """3.6 MJ at 56 g/kWh are 56 g, and a PUE of 1.5 makes them 84 g."""
    assert gco2e(3.6e6, 56.0) == pytest.approx(56.0)
    assert gco2e(3.6e6, 56.0, 1.5) == pytest.approx(84.0)


def test_grams_are_told_per_thousand_inferences() -> None:
    """0.036 J an inference at 100 g/kWh and PUE 1.2 are 1.2 mg per thousand."""
    basis = CarbonBasis(intensity_g_per_kwh=100.0, region="FRA", provider="test", year=2024, pue=1.2)
    assert gco2e_per_1k(0.036, basis) == pytest.approx(0.0012)


@given(st.floats(0, 1e12), st.floats(0, 2000), st.floats(1, 3))
def test_two_arms_on_one_grid_differ_by_their_energy_alone(energy_j: float, intensity: float, pue: float) -> None:
    """Twice the energy is twice the carbon, whatever the grid and the building."""
    assert gco2e(2 * energy_j, intensity, pue) == pytest.approx(2 * gco2e(energy_j, intensity, pue))


@pytest.mark.parametrize(
    ("energy_j", "intensity", "pue", "named"),
    [
        (-1.0, 1.0, 1.0, "energy_j"),
        (math.nan, 1.0, 1.0, "energy_j"),
        (1.0, -1.0, 1.0, "intensity_g_per_kwh"),
        (1.0, math.inf, 1.0, "intensity_g_per_kwh"),
        (1.0, 1.0, 0.99, "pue"),
        (1.0, 1.0, math.nan, "pue"),
    ],
)
def test_impossible_inputs_are_refused_by_name(energy_j: float, intensity: float, pue: float, named: str) -> None:
    """Negative or unknown inputs and a PUE below 1 are errors that name the input."""
    with pytest.raises(ValueError, match=named):
        gco2e(energy_j, intensity, pue)
