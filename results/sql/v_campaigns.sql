CREATE OR REPLACE VIEW v_campaigns AS
SELECT
    campaign_id,
    name AS campaign,
    content_hash,
    seed,
    started_at,
    reference,
    baseline,
    intensity_g_per_kwh,
    region,
    provider,
    year,
    kind,
    forecast,
    pue,
    carbon_absence,
    spec
FROM campaign;
