-- Grams of CO2-equivalent: joules to kilowatt-hours, times grid intensity, times power usage effectiveness.
CREATE OR REPLACE MACRO gco2e(energy_j, intensity_g_per_kwh, pue) AS
    energy_j / 3.6e6 * intensity_g_per_kwh * pue;

-- Grams of a machine's making that fall to some seconds of its life: M of ISO/IEC 21031 (SCI), TE * TiR/EL * RS.
CREATE OR REPLACE MACRO embodied_g(total_g, lifespan_s, share, seconds) AS
    total_g * (seconds / lifespan_s) * share;

-- Money for energy: joules to kilowatt-hours, times price, times power usage effectiveness, for the site is billed.
CREATE OR REPLACE MACRO energy_cost(energy_j, price_per_kwh, pue) AS
    energy_j / 3.6e6 * price_per_kwh * pue;

-- The strength of a method, 1 the strongest, and the method of a strength.
CREATE OR REPLACE MACRO _method_rank(method) AS
    list_position(
        ['measured_counter', 'measured_integrated', 'measured_timer', 'modelled', 'allocated', 'assumed'], method
    );
CREATE OR REPLACE MACRO _method_of_rank(rank) AS
    ['measured_counter', 'measured_integrated', 'measured_timer', 'modelled', 'allocated', 'assumed'][rank];
