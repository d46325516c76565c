-- Not public: of each arm, how many convolutions and matrix products one query runs, by arithmetic, as its first trial
-- that counts and was profiled tells it. An arm of which nothing is known has no row.
CREATE OR REPLACE VIEW _products AS
SELECT campaign_id, workload, variant, engine, scenario, device, kernel."precision", sum(kernel.calls)::BIGINT AS calls
FROM (
    SELECT *
    FROM _settled
    SEMI JOIN kernel USING (trial_no)
    QUALIFY row_number() OVER (
        PARTITION BY campaign_id, workload, variant, engine, scenario, device ORDER BY block, trial_no
    ) = 1
) AS profiled
JOIN kernel USING (trial_no)
WHERE kernel.is_product
GROUP BY ALL;
