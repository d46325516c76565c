import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from results.basis import CarbonBasis, Embodied, Price
from results.carbon import cost_per_1k, embodied_g, gco2e, gco2e_per_1k, gco2e_per_million_tokens, sci_g

BASES = st.builds(
    CarbonBasis,
    intensity_g_per_kwh=st.floats(0.1, 5000),
    region=st.just("X"),
    provider=st.just("test"),
    year=st.none(),
    pue=st.floats(1, 10),
)
SERVER = Embodied(total_g=1.2e6, lifespan_s=4 * 365.25 * 86_400, share=0.5)


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


@given(st.floats(1e-9, 1e9), st.floats(1e-9, 1e9), BASES, st.floats(0.01, 100))
def test_a_ratio_of_grams_or_money_is_the_ratio_of_joules(
    one_j: float, other_j: float, basis: CarbonBasis, per_kwh: float
) -> None:
    """Whatever the grid, the building and the price, two arms of one machine differ as their joules do."""
    price, expected = Price(per_kwh=per_kwh, currency="EUR"), pytest.approx(other_j / one_j, rel=1e-9)
    assert gco2e_per_1k(other_j, basis) / gco2e_per_1k(one_j, basis) == expected
    assert gco2e_per_million_tokens(other_j, basis) / gco2e_per_million_tokens(one_j, basis) == expected
    assert cost_per_1k(other_j, price, basis.pue) / cost_per_1k(one_j, price, basis.pue) == expected


def test_grams_are_told_per_million_tokens() -> None:
    """3.6 J a token at 100 g/kWh and PUE 1.2 are a kilowatt-hour, and 120 g, per million."""
    basis = CarbonBasis(intensity_g_per_kwh=100.0, region="FRA", provider="test", year=2024, pue=1.2)
    assert gco2e_per_million_tokens(3.6, basis) == pytest.approx(120.0)


def test_the_making_of_a_machine_is_spread_over_its_life() -> None:
    """Half a machine of 1,200 kg for its whole life is 600 kg; for a ten-thousandth of it, 60 g."""
    assert embodied_g(SERVER, SERVER.lifespan_s) == pytest.approx(600e3)
    assert embodied_g(SERVER, SERVER.lifespan_s / 1e4) == pytest.approx(60.0)


def test_software_carbon_intensity_is_operation_and_making() -> None:
    """(E × I) + M per functional unit: 150 g to run with the building's part, and 30 g for the machine."""
    basis = CarbonBasis(intensity_g_per_kwh=100.0, region="FRA", provider="test", year=2024, pue=1.5)
    assert sci_g(3.6e6, basis, 30.0) == pytest.approx(180.0)
    assert sci_g(3.6e6, basis, 0.0) == pytest.approx(150.0)


def test_money_is_paid_for_the_building_as_well() -> None:
    """3,600 J an inference are a kilowatt-hour per thousand: 0.30 EUR, or 0.36 with a PUE of 1.2."""
    price = Price(per_kwh=0.30, currency="EUR")
    assert cost_per_1k(3600.0, price) == pytest.approx(0.30)
    assert cost_per_1k(3600.0, price, 1.2) == pytest.approx(0.36)


@pytest.mark.parametrize(
    ("embodied", "used_s", "named"),
    [
        (Embodied(total_g=-1.0, lifespan_s=1.0), 1.0, "total_g"),
        (Embodied(total_g=1.0, lifespan_s=0.0), 1.0, "lifespan_s"),
        (Embodied(total_g=1.0, lifespan_s=1.0, share=0.0), 1.0, "share"),
        (Embodied(total_g=1.0, lifespan_s=1.0, share=1.1), 1.0, "share"),
        (Embodied(total_g=1.0, lifespan_s=1.0), math.nan, "used_s"),
    ],
)
def test_an_impossible_making_is_refused_by_name(embodied: Embodied, used_s: float, named: str) -> None:
    """A machine has a life, and nobody has more of it than the whole."""
    with pytest.raises(ValueError, match=named):
        embodied_g(embodied, used_s)


def test_impossible_prices_and_parts_are_refused_by_name() -> None:
    """As for energy: negative or unknown is an error that names the input."""
    basis = CarbonBasis(intensity_g_per_kwh=1.0, region="X", provider="test", year=None)
    with pytest.raises(ValueError, match="per_kwh"):
        cost_per_1k(1.0, Price(per_kwh=-0.1, currency="EUR"))
    with pytest.raises(ValueError, match="pue"):
        cost_per_1k(1.0, Price(per_kwh=0.1, currency="EUR"), 0.5)
    with pytest.raises(ValueError, match="making_g"):
        sci_g(1.0, basis, -1.0)
