-- What makes joules grams and money gets its time, its flags, the machine's making and a price; a build tells how its
-- energy was obtained; a comparison tells energy too.

ALTER TABLE campaign ADD COLUMN intensity_since TIMESTAMP;
ALTER TABLE campaign ADD COLUMN intensity_until TIMESTAMP;
ALTER TABLE campaign ADD COLUMN intensity_flags VARCHAR;
ALTER TABLE campaign ADD COLUMN embodied_total_g DOUBLE;
ALTER TABLE campaign ADD COLUMN embodied_lifespan_s DOUBLE;
ALTER TABLE campaign ADD COLUMN embodied_share DOUBLE;
ALTER TABLE campaign ADD COLUMN price_per_kwh DOUBLE;
ALTER TABLE campaign ADD COLUMN currency VARCHAR;

ALTER TABLE artifact ADD COLUMN build_energy_lo_j DOUBLE;
ALTER TABLE artifact ADD COLUMN build_energy_hi_j DOUBLE;
ALTER TABLE artifact ADD COLUMN build_energy_method VARCHAR;
ALTER TABLE artifact ADD COLUMN build_energy_source VARCHAR;
ALTER TABLE artifact ADD COLUMN build_energy_flags VARCHAR;
ALTER TABLE artifact ADD COLUMN build_energy_reason VARCHAR;
ALTER TABLE artifact ADD COLUMN prepare_s DOUBLE;
ALTER TABLE artifact ADD COLUMN prepare_energy_j DOUBLE;

ALTER TABLE comparison ADD COLUMN energy_ratio DOUBLE;
ALTER TABLE comparison ADD COLUMN energy_ratio_lo DOUBLE;
ALTER TABLE comparison ADD COLUMN energy_ratio_hi DOUBLE;
ALTER TABLE comparison ADD COLUMN energy_p DOUBLE;
