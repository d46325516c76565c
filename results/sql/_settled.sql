-- Not public: the trials that count: of each arm and block, the latest attempt, where it ended ok.
CREATE OR REPLACE VIEW _settled AS
SELECT *
FROM (
    SELECT *
    FROM trial
    QUALIFY attempt = max(attempt) OVER (
        PARTITION BY campaign_id, workload, variant, engine, scenario, device, block
    )
)
WHERE status = 'ok';
