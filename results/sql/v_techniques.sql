-- One row for each variant of a workload on an engine and a device, with its loads side by side: latency of the first of
-- its scenarios, in the order of the campaign's arms, that is ranked by latency, throughput of the first that is ranked
-- by throughput. All other figures are of the former, or where there is none of the latter.
-- Ratios are over the baseline of their own scenario, paired by block: latency_ratio below 1 is faster, throughput_ratio
-- above 1 is. compressed_share is what the compressed weights take on disk over what fp32 would take for as many.
-- kernels tells the products of one query by arithmetic, as 'int8 ×12, float32 ×2'; fell_back is whether an arithmetic
-- that the recipe promises ran no product at all, and NULL where nothing was promised or nothing is known.
CREATE OR REPLACE VIEW v_techniques AS
WITH ranked AS (
    SELECT
        arm.*,
        primary_metric = 'throughput_per_s' AS is_throughput,
        row_number() OVER (
            PARTITION BY campaign_id, workload, variant, engine, device, primary_metric = 'throughput_per_s'
            ORDER BY position
        ) AS place
    FROM arm
),
first AS (
    SELECT ranked.*, bool_or(NOT is_throughput) OVER (
        PARTITION BY campaign_id, workload, variant, engine, device
    ) AS has_latency
    FROM ranked
    WHERE place = 1
),
means AS (
    SELECT campaign_id, workload, variant, engine, scenario, device, median(value) AS latency_mean_s
    FROM _settled
    JOIN _figure USING (trial_no)
    WHERE name = 'latency_mean_s'
    GROUP BY ALL
),
products AS (
    SELECT
        campaign_id, workload, variant, engine, scenario, device,
        string_agg("precision" || ' ×' || calls, ', ' ORDER BY calls DESC, "precision") AS kernels,
        list("precision") AS ran
    FROM _products
    GROUP BY ALL
),
told AS (
    SELECT
        first.position,
        first.is_throughput,
        first.is_throughput <> first.has_latency AS leads,
        first.quality_metric,
        first.quality_higher_is_better,
        first.fidelity,
        first.keeps_fp32,
        string_split(nullif(first.precisions, ''), ' ') AS promised,
        v_summary.*,
        max(CASE WHEN v_summary.variant = comparison.baseline_variant THEN v_summary.artifact_bytes END) OVER (
            PARTITION BY v_summary.campaign_id, v_summary.workload, v_summary.scenario, v_summary.device
        ) AS baseline_bytes,
        nullif(comparison.baseline_variant, '') AS baseline_variant,
        comparison.quality_lo,
        comparison.quality_hi,
        comparison.verdict,
        means.latency_mean_s,
        products.kernels,
        products.ran,
        artifact.chain,
        artifact.compressed_bytes / nullif(4 * artifact.compressed_parameters, 0) AS compressed_share,
        artifact.build_s,
        artifact.build_energy_j,
        artifact.build_energy_method,
        v_break_even.break_even_inferences,
        v_break_even.outcome AS break_even_outcome
    FROM first
    JOIN v_summary USING (campaign_id, workload, variant, engine, scenario, device)
    LEFT JOIN comparison USING (campaign_id, workload, variant, engine, scenario, device)
    LEFT JOIN means USING (campaign_id, workload, variant, engine, scenario, device)
    LEFT JOIN products USING (campaign_id, workload, variant, engine, scenario, device)
    LEFT JOIN v_break_even USING (campaign_id, workload, variant, engine, scenario, device)
    LEFT JOIN artifact ON artifact.artifact_id = v_summary.artifact_id
)
SELECT
    lead.campaign_id,
    lead.campaign,
    lead.workload,
    lead.variant,
    lead.engine,
    lead.device,
    lead.position,
    CASE WHEN NOT lead.is_throughput THEN lead.scenario END AS latency_scenario,
    rate.scenario AS throughput_scenario,
    lead.baseline_variant,
    lead.keeps_fp32,
    lead.n_trials,
    CASE WHEN NOT lead.is_throughput THEN 1 / lead.speedup END AS latency_ratio,
    CASE WHEN NOT lead.is_throughput THEN 1 / lead.speedup_hi END AS latency_ratio_lo,
    CASE WHEN NOT lead.is_throughput THEN 1 / lead.speedup_lo END AS latency_ratio_hi,
    rate.speedup AS throughput_ratio,
    rate.speedup_lo AS throughput_ratio_lo,
    rate.speedup_hi AS throughput_ratio_hi,
    CASE WHEN NOT lead.is_throughput THEN lead.latency_p50_s END AS latency_p50_s,
    CASE WHEN NOT lead.is_throughput THEN lead.latency_mean_s END AS latency_mean_s,
    CASE WHEN NOT lead.is_throughput THEN lead.latency_p99_s END AS latency_p99_s,
    rate.throughput_per_s,
    lead.artifact_bytes AS stored_bytes,
    lead.artifact_bytes / lead.baseline_bytes AS stored_ratio,
    lead.compressed_share,
    lead.peak_rss_bytes,
    lead.peak_gpu_bytes,
    lead.quality_metric,
    lead.quality_higher_is_better,
    lead.fidelity,
    lead.quality,
    lead.quality_delta,
    lead.quality_lo,
    lead.quality_hi,
    lead.energy_j_per_inference,
    lead.energy_method,
    lead.energy_ratio,
    lead.energy_ratio_lo,
    lead.energy_ratio_hi,
    lead.build_s,
    lead.build_energy_j,
    lead.build_energy_method,
    lead.break_even_inferences,
    lead.break_even_outcome,
    array_to_string(lead.promised, ' ') AS promised,
    lead.kernels,
    NOT list_has_all(lead.ran, lead.promised) AS fell_back,
    lead.verdict,
    lead.chain
FROM told AS lead
LEFT JOIN told AS rate
    ON rate.is_throughput
    AND (rate.campaign_id, rate.workload, rate.variant, rate.engine, rate.device)
    = (lead.campaign_id, lead.workload, lead.variant, lead.engine, lead.device)
WHERE lead.leads;
