"""What a report asks of a store: the public views, and the table of arms. ``$campaign`` stands for an id.

It must not know what is made of the answers.
"""

from __future__ import annotations

from typing import Final

CAMPAIGNS: Final = "SELECT * FROM v_campaigns ORDER BY started_at, campaign_id"
MEASURED: Final = "SELECT DISTINCT variant, scenario FROM v_trials WHERE campaign_id = $campaign AND status = 'ok'"
_ARMS: Final = """
WITH latest AS (
    SELECT * FROM v_trials WHERE {which}
    QUALIFY attempt = max(attempt) OVER (
        PARTITION BY campaign_id, workload, variant, engine, scenario, device, block
    )
), failed AS (
    SELECT campaign_id, workload, variant, engine, scenario, device, count(*) AS trials_failed
    FROM latest WHERE status <> 'ok' GROUP BY ALL
)
SELECT s.*, a.position, a.keeps_fp32, a.primary_metric, a.quality_metric, a.quality_higher_is_better,
    a.fidelity,
    c.baseline_variant, c.blocks, c.speedup_p, c.quality_reference, c.quality_lo, c.quality_hi, c.quality_p, c.verdict,
    coalesce(f.trials_failed, 0) AS trials_failed
FROM v_summary s
JOIN arm a USING (campaign_id, workload, variant, engine, scenario, device)
LEFT JOIN v_comparisons c USING (campaign_id, workload, variant, engine, scenario, device)
LEFT JOIN failed f USING (campaign_id, workload, variant, engine, scenario, device)
WHERE {which}
ORDER BY campaign_id, a.position
"""
ARMS: Final = _ARMS.format(which="campaign_id = $campaign")
ARMS_OF_SEVERAL: Final = _ARMS.format(which="list_contains($campaigns, campaign_id)")
ABSENCES: Final = r"""
WITH told AS (
    SELECT v_absences.metric, variant, scenario, trial_id, regexp_replace(v_absences.reason, ', had \d+$', '') AS cause,
        try_cast(regexp_extract(v_absences.reason, ', had (\d+)$', 1) AS BIGINT) AS had
    FROM v_absences JOIN v_trials USING (trial_id) WHERE campaign_id = $campaign
), causes AS (
    SELECT metric, count(DISTINCT trial_id) AS trials, list(DISTINCT variant ORDER BY variant) AS variants,
        list(DISTINCT scenario ORDER BY scenario) AS scenarios,
        cause || CASE
            WHEN max(had) IS NULL THEN ''
            WHEN min(had) = max(had) THEN ', had ' || min(had)
            ELSE ', had ' || min(had) || ' to ' || max(had)
        END AS reason
    FROM told GROUP BY metric, cause
)
SELECT string_agg(metric, ', ' ORDER BY metric) AS metric, reason, trials, variants, scenarios
FROM causes GROUP BY reason, trials, variants, scenarios ORDER BY trials DESC, metric, reason
"""
ENDINGS: Final = """
SELECT workload, variant, engine, scenario, device, status, coalesce(reason, '') AS reason, count(*) AS trials
FROM v_trials WHERE campaign_id = $campaign AND status <> 'ok'
GROUP BY ALL ORDER BY workload, scenario, device, variant, engine, trials DESC, status, reason
"""
FLAGS: Final = """
SELECT flag, count(DISTINCT trial_id) AS trials, list(DISTINCT variant ORDER BY variant) AS variants,
    (SELECT count(*) FROM v_trials WHERE campaign_id = $campaign) AS of_trials
FROM (
    SELECT trial_id, m.variant, unnest(string_split(m.flags, ' ')) AS flag
    FROM v_metrics m JOIN v_trials t USING (trial_id) WHERE t.campaign_id = $campaign
)
WHERE flag <> '' GROUP BY flag ORDER BY trials DESC, flag
"""
PARTS: Final = """
SELECT * FROM v_energy WHERE campaign_id = $campaign ORDER BY list_position(['gpu', 'cpu', 'ram', 'total'], component)
"""
CARBON: Final = "SELECT * FROM v_carbon WHERE campaign_id = $campaign"
BREAK_EVEN: Final = "SELECT * FROM v_break_even WHERE campaign_id = $campaign"
ENERGY: Final = """
SELECT DISTINCT m.method, m.source FROM v_metrics m JOIN v_trials t USING (trial_id)
WHERE t.campaign_id = $campaign AND m.metric = 'energy_j_per_inference' ORDER BY ALL
"""
MACHINES: Final = """
SELECT DISTINCT t.node, e.* FROM v_trials t JOIN v_environments e USING (environment_id)
WHERE t.campaign_id = $campaign ORDER BY t.node, environment_id
"""
COUNTS: Final = """
SELECT count(*) AS trials, count(*) FILTER (WHERE status = 'ok') AS trials_ok,
    coalesce(sum(measured_s), 0) AS measured_s, coalesce(sum(wall_s), 0) AS wall_s,
    (SELECT count(*) FROM arm WHERE campaign_id = $campaign) AS arms,
    count(DISTINCT (workload, variant, engine, scenario, device, block)) AS trials_reached,
    list(DISTINCT git_sha ORDER BY git_sha) FILTER (WHERE git_sha IS NOT NULL) AS git_shas
FROM v_trials WHERE campaign_id = $campaign
"""
