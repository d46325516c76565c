CREATE OR REPLACE VIEW v_readings AS
SELECT
    trial.trial_id,
    reading.collector,
    reading.device,
    reading.metric,
    reading.at_ns,
    reading.value,
    reading.unit
FROM reading
JOIN trial USING (trial_no);
