CREATE OR REPLACE VIEW v_trials AS
SELECT
    trial.trial_id,
    trial.campaign_id,
    campaign.name AS campaign,
    trial.workload,
    trial.variant,
    trial.engine,
    trial.scenario,
    trial.device,
    trial.node,
    trial.block,
    trial.position,
    trial.attempt,
    trial.status,
    trial.reason,
    trial.started_at,
    (trial.closed_ns - trial.opened_ns) / 1e9 AS measured_s,
    trial.wall_s,
    trial.environment_id,
    trial.git_sha
FROM trial
LEFT JOIN campaign USING (campaign_id);
