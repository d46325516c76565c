-- One row for each arm of each campaign, over its trials that count; an arm without any has NULLs.
-- Timings and energies are medians over trials (processes), peaks are maxima. A percentile that some trial has too
-- few queries to tell is not told of the others alone: those were the slower, or the faster, ones.
CREATE OR REPLACE VIEW v_summary AS
WITH counted AS (
    SELECT
        campaign_id, workload, variant, engine, scenario, device,
        count(*) AS n_trials,
        arg_max(artifact_id, trial_no) AS artifact_id
    FROM _settled
    GROUP BY ALL
),
told AS (
    SELECT
        campaign_id, workload, variant, engine, scenario, device,
        median(value) FILTER (WHERE name = 'latency_p50_s') AS latency_p50_s,
        count(*) FILTER (WHERE name = 'latency_p50_s') AS n_p50,
        median(value) FILTER (WHERE name = 'latency_p90_s') AS latency_p90_s,
        count(*) FILTER (WHERE name = 'latency_p90_s') AS n_p90,
        median(value) FILTER (WHERE name = 'latency_p99_s') AS latency_p99_s,
        count(*) FILTER (WHERE name = 'latency_p99_s') AS n_p99,
        median(value) FILTER (WHERE name = 'throughput_per_s') AS throughput_per_s,
        max(value) FILTER (WHERE name = 'peak_rss_bytes')::BIGINT AS peak_rss_bytes,
        max(value) FILTER (WHERE name = 'peak_gpu_bytes')::BIGINT AS peak_gpu_bytes,
        median(value) FILTER (WHERE name = 'energy_j_per_inference') AS energy_j_per_inference,
        _method_of_rank(max(_method_rank(method)) FILTER (WHERE name = 'energy_j_per_inference')) AS energy_method,
        median(value) FILTER (WHERE name = 'energy_net_j_per_inference') AS energy_net_j_per_inference,
        median(value) FILTER (WHERE name = 'energy_j_per_token') AS energy_j_per_token,
        median(value) FILTER (WHERE name = 'power_mean_w') AS power_mean_w,
        median(value) FILTER (WHERE name = 'power_idle_w') AS power_idle_w,
        median(value) FILTER (WHERE name = 'quality') AS quality
    FROM _settled
    JOIN _figure USING (trial_no)
    GROUP BY ALL
)
SELECT
    _arm.campaign_id,
    campaign.name AS campaign,
    _arm.workload,
    _arm.variant,
    _arm.engine,
    _arm.scenario,
    _arm.device,
    coalesce(counted.n_trials, 0) AS n_trials,
    CASE WHEN told.n_p50 = counted.n_trials THEN told.latency_p50_s END AS latency_p50_s,
    CASE WHEN told.n_p90 = counted.n_trials THEN told.latency_p90_s END AS latency_p90_s,
    CASE WHEN told.n_p99 = counted.n_trials THEN told.latency_p99_s END AS latency_p99_s,
    told.throughput_per_s,
    told.peak_rss_bytes,
    told.peak_gpu_bytes,
    artifact.stored_bytes AS artifact_bytes,
    told.energy_j_per_inference,
    told.energy_method,
    gco2e(1000 * told.energy_j_per_inference, campaign.intensity_g_per_kwh, campaign.pue) AS gco2e_per_1k,
    told.quality,
    comparison.quality_delta,
    comparison.speedup,
    comparison.speedup_lo,
    comparison.speedup_hi,
    told.energy_net_j_per_inference,
    comparison.energy_ratio,
    comparison.energy_ratio_lo,
    comparison.energy_ratio_hi,
    told.power_mean_w,
    told.power_idle_w,
    coalesce(arm.artifact_id, counted.artifact_id) AS artifact_id,
    told.energy_j_per_token
FROM _arm
LEFT JOIN campaign USING (campaign_id)
LEFT JOIN arm USING (campaign_id, workload, variant, engine, scenario, device)
LEFT JOIN counted USING (campaign_id, workload, variant, engine, scenario, device)
LEFT JOIN told USING (campaign_id, workload, variant, engine, scenario, device)
LEFT JOIN comparison USING (campaign_id, workload, variant, engine, scenario, device)
LEFT JOIN artifact ON artifact.artifact_id = coalesce(arm.artifact_id, counted.artifact_id);
