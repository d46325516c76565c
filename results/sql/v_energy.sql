-- One row for each arm and part of the machine: cpu (scope package), ram (dram), gpu (board), and their total.
-- Figures are medians over the arm's trials that count; lo and hi are what the instrument or the model may be wrong by,
-- where every trial tells it; method is the weakest, flags are all that any trial's figures of the part bear. Net is
-- above idle. Where there is no energy, reason tells why, as the first trial did.
CREATE OR REPLACE VIEW v_energy AS
WITH part AS (
    FROM (VALUES (1, 'cpu'), (2, 'ram'), (3, 'gpu'), (4, 'total')) AS part(position, component)
),
known AS (
    SELECT component, figure, format(pattern, component) AS name
    FROM part
    CROSS JOIN (
        VALUES
            ('gross', 'energy_{}_j_per_inference'), ('window', 'energy_{}_j'), ('window_net', 'energy_{}_net_j'),
            ('load', 'power_mean_{}_w'), ('idle', 'power_idle_{}_w')
    ) AS patterns(figure, pattern)
    WHERE component <> 'total'
    UNION ALL
    VALUES
        ('total', 'gross', 'energy_j_per_inference'), ('total', 'net', 'energy_net_j_per_inference'),
        ('total', 'token', 'energy_j_per_token'), ('total', 'slo_query', 'energy_j_per_slo_query'),
        ('total', 'load', 'power_mean_w'), ('total', 'idle', 'power_idle_w')
),
trials AS (
    SELECT
        campaign_id, workload, variant, engine, scenario, device, component, trial_no,
        count(*) FILTER (WHERE figure = 'gross') AS told,
        max(value) FILTER (WHERE figure = 'gross') AS gross,
        max(_figure.lo) FILTER (WHERE figure = 'gross') AS lo,
        max(_figure.hi) FILTER (WHERE figure = 'gross') AS hi,
        coalesce(
            max(value) FILTER (WHERE figure = 'net'),
            max(value) FILTER (WHERE figure = 'window_net') / nullif(max(value) FILTER (WHERE figure = 'window'), 0)
            * max(value) FILTER (WHERE figure = 'gross')
        ) AS net,
        max(value) FILTER (WHERE figure = 'token') AS token,
        max(value) FILTER (WHERE figure = 'slo_query') AS slo_query,
        max(value) FILTER (WHERE figure = 'load') AS load_w,
        max(value) FILTER (WHERE figure = 'idle') AS idle_w,
        max(_method_rank(method)) FILTER (WHERE figure = 'gross') AS method_rank,
        max(scope) FILTER (WHERE figure = 'gross') AS scope,
        max(source) FILTER (WHERE figure = 'gross') AS source,
        string_agg(flags, ' ') AS flags
    FROM _settled
    JOIN _figure USING (trial_no)
    JOIN known USING (name)
    GROUP BY ALL
),
medians AS (
    SELECT
        campaign_id, workload, variant, engine, scenario, device, component,
        median(gross) AS energy_j_per_inference,
        CASE WHEN count(lo) = sum(told) THEN median(lo) END AS lo,
        CASE WHEN count(hi) = sum(told) THEN median(hi) END AS hi,
        median(net) AS energy_net_j_per_inference,
        median(token) AS energy_j_per_token,
        median(slo_query) AS energy_j_per_slo_query,
        median(load_w) AS power_mean_w,
        median(idle_w) AS power_idle_w,
        _method_of_rank(max(method_rank)) AS method,
        string_agg(DISTINCT scope, ', ' ORDER BY scope) AS scope,
        string_agg(DISTINCT source, '; ' ORDER BY source) AS source,
        list_aggregate(
            list_sort(list_distinct(list_filter(string_split(string_agg(flags, ' '), ' '), lambda flag: flag <> ''))),
            'string_agg', ' '
        ) AS flags
    FROM trials
    GROUP BY ALL
),
missing AS (
    SELECT
        campaign_id, workload, variant, engine, scenario, device, component,
        arg_min(absence.reason, trial_no) AS reason
    FROM _settled
    JOIN absence USING (trial_no)
    JOIN known ON known.name = absence.metric AND known.figure IN ('gross', 'window')
    GROUP BY ALL
)
SELECT
    _arm.campaign_id,
    campaign.name AS campaign,
    _arm.workload,
    _arm.variant,
    _arm.engine,
    _arm.scenario,
    _arm.device,
    part.component,
    medians.energy_j_per_inference,
    medians.lo,
    medians.hi,
    medians.energy_net_j_per_inference,
    medians.energy_j_per_token,
    medians.energy_j_per_slo_query,
    medians.power_mean_w,
    medians.power_idle_w,
    medians.method,
    medians.scope,
    medians.source,
    coalesce(medians.flags, '') AS flags,
    CASE WHEN medians.energy_j_per_inference IS NULL THEN missing.reason END AS reason
FROM _arm
CROSS JOIN part
LEFT JOIN campaign USING (campaign_id)
LEFT JOIN medians USING (campaign_id, workload, variant, engine, scenario, device, component)
LEFT JOIN missing USING (campaign_id, workload, variant, engine, scenario, device, component);
