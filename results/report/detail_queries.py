"""What a report's detail asks of a store, each in one query for all arms; ``$campaign`` stands for an id.

An arm is named by its place in the campaign, ``arm_no``, which :data:`ARMS` tells: five names in each of ten million
rows would be most of the work. It must not know what is made of the answers.
"""

from __future__ import annotations

from typing import Final

ARMS: Final = """
SELECT position AS arm_no, workload, variant, engine, scenario, device FROM arm WHERE campaign_id = $campaign
"""
FRONTS: Final = """
SELECT p.* FROM v_pareto p JOIN arm a USING (campaign_id, workload, variant, engine, scenario, device)
WHERE campaign_id = $campaign ORDER BY a.position
"""
PERCENTILES: Final = """
SELECT a.position AS arm_no, latency_p50_s, latency_p90_s, latency_p99_s
FROM v_summary JOIN arm a USING (campaign_id, workload, variant, engine, scenario, device)
WHERE campaign_id = $campaign
"""
COUNTED: Final = """
WITH counted AS (
    SELECT s.trial_no, s.trial_id, s.block, s.warmup_queries, s.opened_ns, s.closed_ns, a.primary_metric,
        a.position AS arm_no
    FROM _settled s JOIN arm a USING (campaign_id, workload, variant, engine, scenario, device)
    WHERE campaign_id = $campaign
)
"""
"""The trials that count: what the queries below begin with."""
SPREAD: Final = """
SELECT arm_no, count(DISTINCT trial_no) AS trials, count(*) AS queries,
    quantile_disc(latency_ns, {shares}) AS latencies_ns
FROM sample JOIN counted USING (trial_no)
WHERE seq >= warmup_queries GROUP BY arm_no ORDER BY arm_no
"""
"""The latencies of each arm's steady queries, those of all trials together; ``shares`` are to be put in."""
UNTOLD_PERCENTILES: Final = r"""
, told AS (
    SELECT arm_no, metric, regexp_replace(reason, ', had \d+$', '') AS cause,
        try_cast(regexp_extract(reason, ', had (\d+)$', 1) AS BIGINT) AS had
    FROM absence JOIN counted USING (trial_no)
    WHERE starts_with(metric, 'latency_p')
), causes AS (
    SELECT arm_no, metric, cause || CASE
        WHEN max(had) IS NULL THEN ''
        WHEN min(had) = max(had) THEN ', had ' || min(had)
        ELSE ', had ' || min(had) || ' to ' || max(had)
    END AS reason
    FROM told GROUP BY arm_no, metric, cause
)
SELECT arm_no, metric, string_agg(reason, '; ' ORDER BY reason) AS reason FROM causes GROUP BY arm_no, metric
"""
SERIES: Final = r"""
, wanted AS (
    SELECT trial_no, collector, device, metric, unit, at_ns, value
    FROM reading JOIN counted USING (trial_no)
    WHERE opened_ns IS NOT NULL AND (metric = 'rss_bytes' OR regexp_full_match(metric, 'power_\w+_w'))
), ranked AS (
    SELECT counted.*, abs(told.value - median(told.value) OVER (PARTITION BY arm_no)) AS off_middle
    FROM counted
    SEMI JOIN wanted USING (trial_no)
    LEFT JOIN _figure told ON told.trial_no = counted.trial_no AND told.name = primary_metric
), chosen AS (
    SELECT * FROM ranked
    QUALIFY row_number() OVER (PARTITION BY arm_no ORDER BY off_middle NULLS LAST, block) = 1
), looks AS (
    SELECT trial_no, collector, device, metric, any_value(unit) AS unit, list(at_ns ORDER BY at_ns) AS at_ns,
        list(value ORDER BY at_ns) AS told, count(*) OVER (PARTITION BY trial_no, metric, device) AS instruments
    FROM wanted SEMI JOIN chosen USING (trial_no)
    GROUP BY trial_no, collector, device, metric
)
SELECT arm_no, trial_id, block, opened_ns, closed_ns, collector, device, metric, unit, at_ns, told,
    CASE WHEN instruments = 1 THEN _figure.method END AS method
FROM looks
JOIN chosen USING (trial_no)
LEFT JOIN _figure ON _figure.trial_no = looks.trial_no
    AND _figure.name = regexp_replace(metric, '^power_(\w+)_w$', 'energy_\1_j')
ORDER BY arm_no, metric, device, collector
"""
"""Readings of one trial an arm, the middle one by its primary metric of those that any instrument left readings of.

The method is that of the trial's energy by the same part, where one instrument alone looked at it.
"""
