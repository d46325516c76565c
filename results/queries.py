"""What the store itself asks of its tables, to resume and to compare; ``?`` stands for a campaign's id.

It must not know what is made of the answers.
"""

from __future__ import annotations

from typing import Final

LATEST: Final = """
SELECT workload, variant, engine, scenario, device, block, attempt, status, reason
FROM trial WHERE campaign_id = ?
QUALIFY attempt = max(attempt) OVER (PARTITION BY workload, variant, engine, scenario, device, block)
ORDER BY block, position
"""
NEWEST_ENVIRONMENTS: Final = """
SELECT node, environment.* FROM environment JOIN (
    SELECT node, arg_max(environment_id, trial_no) AS environment_id FROM trial WHERE campaign_id = ? GROUP BY node
) USING (environment_id) ORDER BY node
"""
ENVIRONMENTS: Final = """
SELECT * FROM environment
WHERE environment_id IN (SELECT environment_id FROM trial WHERE campaign_id = ?) ORDER BY environment_id
"""
ESTIMATES: Final = """
SELECT trial_no, position, workload, variant, engine, scenario, device, block, node, session, environment_id,
    list(name) AS names, list(value) AS told, list(method) AS methods
FROM _settled LEFT JOIN _figure USING (trial_no)
WHERE campaign_id = ? GROUP BY ALL ORDER BY block, position
"""
FIRST_SCORES: Final = """
WITH judged AS (SELECT trial_no, list(score ORDER BY example) AS scores FROM quality_example GROUP BY trial_no)
SELECT workload, variant, engine, scenario, device, arg_min(scores, block) AS scores
FROM judged JOIN _settled USING (trial_no) WHERE campaign_id = ? GROUP BY ALL
"""
