CREATE OR REPLACE VIEW v_samples AS
SELECT
    trial.trial_id,
    sample.seq,
    CASE WHEN sample.seq < trial.warmup_queries THEN 'warmup' ELSE 'steady' END AS phase,
    coalesce(sample.scheduled_ns, sample.started_ns) AS scheduled_ns,
    sample.started_ns,
    sample.latency_ns,
    CASE WHEN sample.seq < trial.warmup_queries THEN trial.warmup_batch ELSE trial.steady_batch END AS batch
FROM sample
JOIN trial USING (trial_no);
