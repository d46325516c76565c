-- flags are separated by spaces; the text is empty where there are none.
CREATE OR REPLACE VIEW v_metrics AS
SELECT
    trial.trial_id,
    trial.workload,
    trial.variant,
    trial.engine,
    trial.scenario,
    trial.device,
    metric.name AS metric,
    metric.value,
    metric.unit,
    metric.lo,
    metric.hi,
    metric.method,
    metric.source,
    metric.flags,
    metric.scope,
    metric.observations,
    metric.largest_gap_s
FROM metric
JOIN trial USING (trial_no);
