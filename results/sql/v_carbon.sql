-- One row for each arm: its energy in grams and in money, by the campaign's basis. Embodied grams are the machine's
-- making spread over its life; an inference takes 1 / throughput of that. SCI (ISO/IEC 21031) is energy * intensity
-- * PUE + embodied, and is told only where the embodied part is declared. Without a PUE, money is for the machine's own
-- energy.
CREATE OR REPLACE VIEW v_carbon AS
WITH figures AS (
    SELECT
        v_summary.*,
        gco2e(1e6 * energy_j_per_token, intensity_g_per_kwh, pue) AS gco2e_per_million_tokens,
        embodied_g(embodied_total_g, embodied_lifespan_s, embodied_share, 1000 / throughput_per_s) AS embodied_g_per_1k,
        energy_cost(1000 * energy_j_per_inference, price_per_kwh, coalesce(pue, 1)) AS cost_per_1k
    FROM v_summary
    LEFT JOIN campaign USING (campaign_id)
)
SELECT
    figures.campaign_id,
    campaign.name AS campaign,
    figures.workload,
    figures.variant,
    figures.engine,
    figures.scenario,
    figures.device,
    campaign.intensity_g_per_kwh,
    campaign.pue,
    campaign.region,
    campaign.provider,
    campaign.year,
    campaign.intensity_since AS since,
    campaign.intensity_until AS until,
    campaign.kind,
    campaign.forecast,
    campaign.intensity_flags AS flags,
    figures.gco2e_per_1k,
    figures.gco2e_per_million_tokens,
    CASE WHEN campaign.embodied_total_g IS NULL THEN 'absent' ELSE 'declared' END AS embodied,
    figures.embodied_g_per_1k,
    figures.gco2e_per_1k + figures.embodied_g_per_1k AS sci_g_per_1k,
    figures.cost_per_1k,
    campaign.currency,
    figures.energy_j_per_inference,
    figures.energy_method
FROM figures
LEFT JOIN campaign USING (campaign_id);
