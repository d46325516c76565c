CREATE OR REPLACE VIEW v_comparisons AS
SELECT
    comparison.campaign_id,
    campaign.name AS campaign,
    comparison.workload,
    comparison.variant,
    comparison.engine,
    comparison.scenario,
    comparison.device,
    comparison.baseline_variant,
    comparison.blocks,
    comparison.speedup,
    comparison.speedup_lo,
    comparison.speedup_hi,
    comparison.speedup_p,
    comparison.method,
    comparison.confidence,
    comparison.quality_reference,
    comparison.quality_delta,
    comparison.quality_lo,
    comparison.quality_hi,
    comparison.quality_p,
    comparison.verdict,
    comparison.energy_ratio,
    comparison.energy_ratio_lo,
    comparison.energy_ratio_hi,
    comparison.energy_p
FROM comparison
LEFT JOIN campaign USING (campaign_id);
