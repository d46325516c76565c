-- Not public: every arm of every campaign, those too that only their trials tell of.
CREATE OR REPLACE VIEW _arm AS
SELECT campaign_id, workload, variant, engine, scenario, device FROM arm
UNION
SELECT campaign_id, workload, variant, engine, scenario, device FROM trial;
