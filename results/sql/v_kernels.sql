-- Operators that ran in one query, by a profiler's word, of each trial that was judged; calls are per query.
CREATE OR REPLACE VIEW v_kernels AS
SELECT
    trial.trial_id,
    trial.campaign_id,
    trial.artifact_id,
    trial.workload,
    trial.variant,
    trial.engine,
    trial.scenario,
    trial.device,
    kernel.operator,
    kernel."precision",
    kernel.calls,
    kernel.is_product
FROM kernel
JOIN trial USING (trial_no);
