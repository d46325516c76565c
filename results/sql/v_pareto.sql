-- One row for each arm: whether another arm of its campaign, workload, scenario and device is at least as good in all of
-- speed (latency_p50_s, or throughput_per_s where the load is ranked by it), energy per inference, quality and bytes on
-- disk, and better in one. By point estimates alone: how sure that is, `joulemark recommend` tells from resampling.
-- An objective that no arm of the cell tells is left out; an arm without one that others tell has no place, and reason
-- says so. Arms whose joules were obtained by different methods are not held against each other. dominated_by is empty
-- on the front.
CREATE OR REPLACE VIEW v_pareto AS
WITH told AS (
    SELECT
        v_summary.*,
        arm.primary_metric,
        arm.quality_higher_is_better,
        CASE WHEN arm.primary_metric = 'throughput_per_s' THEN -throughput_per_s ELSE latency_p50_s END AS slowness,
        CASE WHEN arm.quality_higher_is_better THEN -quality ELSE quality END AS badness
    FROM v_summary
    LEFT JOIN arm USING (campaign_id, workload, variant, engine, scenario, device)
),
lacking AS (
    SELECT
        *,
        concat_ws(
            ', ',
            CASE WHEN slowness IS NULL AND count(slowness) OVER cell > 0 THEN primary_metric END,
            CASE
                WHEN energy_j_per_inference IS NULL AND count(energy_j_per_inference) OVER cell > 0
                THEN 'energy_j_per_inference'
            END,
            CASE WHEN badness IS NULL AND count(badness) OVER cell > 0 THEN 'quality' END,
            CASE WHEN artifact_bytes IS NULL AND count(artifact_bytes) OVER cell > 0 THEN 'artifact_bytes' END
        ) AS lacks
    FROM told
    WINDOW cell AS (PARTITION BY campaign_id, workload, scenario, device)
),
judged AS (
    SELECT
        *,
        CASE
            WHEN n_trials = 0 THEN 'no trial ended ok'
            WHEN primary_metric IS NULL THEN 'no record tells what ranks it'
            WHEN lacks <> '' THEN 'no ' || lacks
            WHEN slowness IS NULL AND energy_j_per_inference IS NULL AND badness IS NULL AND artifact_bytes IS NULL
            THEN 'no objective is told'
        END AS reason
    FROM lacking
),
beaten AS (
    SELECT
        mine.campaign_id, mine.workload, mine.variant, mine.engine, mine.scenario, mine.device,
        list(other.variant ORDER BY other.variant, other.engine) AS dominated_by
    FROM judged AS mine
    JOIN judged AS other USING (campaign_id, workload, scenario, device)
    WHERE
        mine.reason IS NULL
        AND other.reason IS NULL
        AND other.energy_method IS NOT DISTINCT FROM mine.energy_method
        AND coalesce(other.slowness <= mine.slowness, true)
        AND coalesce(other.energy_j_per_inference <= mine.energy_j_per_inference, true)
        AND coalesce(other.badness <= mine.badness, true)
        AND coalesce(other.artifact_bytes <= mine.artifact_bytes, true)
        AND (
            coalesce(other.slowness < mine.slowness, false)
            OR coalesce(other.energy_j_per_inference < mine.energy_j_per_inference, false)
            OR coalesce(other.badness < mine.badness, false)
            OR coalesce(other.artifact_bytes < mine.artifact_bytes, false)
        )
    GROUP BY ALL
)
SELECT
    campaign_id,
    campaign,
    workload,
    variant,
    engine,
    scenario,
    device,
    primary_metric,
    CASE WHEN primary_metric <> 'throughput_per_s' THEN latency_p50_s END AS latency_p50_s,
    CASE WHEN primary_metric = 'throughput_per_s' THEN throughput_per_s END AS throughput_per_s,
    energy_j_per_inference,
    energy_method,
    quality,
    quality_higher_is_better,
    artifact_bytes,
    CASE WHEN reason IS NULL THEN beaten.dominated_by IS NULL END AS is_on_front,
    CASE WHEN reason IS NULL THEN coalesce(beaten.dominated_by, []) END AS dominated_by,
    reason
FROM judged
LEFT JOIN beaten USING (campaign_id, workload, variant, engine, scenario, device);
