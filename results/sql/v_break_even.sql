-- One row for each arm: after how many inferences its own building (chain and export, not the model's training, which
-- all variants share) is repaid by what each inference saves against the baseline of its workload, scenario and device.
-- The model as it is, in the framework that it is of, is unbuilt: it has nothing to repay.
-- The saving is the baseline's median energy times (1 - energy_ratio), so it has the ratio's interval, over blocks. The
-- build's own bounds widen the break-even's only where another method obtained it: one instrument's error of scale is
-- in both, and cancels. What may be said is said as of speed: the interval excludes 1 and the corrected p is small.
CREATE OR REPLACE VIEW v_break_even AS
WITH arms AS (
    SELECT
        v_summary.campaign_id, campaign, workload, variant, engine, scenario, device,
        artifact_id,
        energy_j_per_inference,
        energy_method,
        nullif(comparison.baseline_variant, '') AS baseline_variant,
        max(CASE WHEN variant = comparison.baseline_variant THEN energy_j_per_inference END) OVER (
            PARTITION BY v_summary.campaign_id, workload, scenario, device
        ) AS baseline_energy_j_per_inference,
        1 - comparison.energy_ratio AS saved,
        1 - comparison.energy_ratio_hi AS saved_lo,
        1 - comparison.energy_ratio_lo AS saved_hi,
        coalesce(comparison.energy_p > 1 - comparison.confidence, true) AS is_unsure
    FROM v_summary
    LEFT JOIN comparison USING (campaign_id, workload, variant, engine, scenario, device)
),
told AS (
    SELECT
        arms.*,
        build_energy_j,
        build_energy_method,
        build_energy_reason,
        coalesce(chain = '[]' AND arms.engine = 'torch', false) AS is_unbuilt,
        CASE WHEN build_energy_method IS DISTINCT FROM energy_method THEN build_energy_lo_j END AS build_lo_j,
        CASE WHEN build_energy_method IS DISTINCT FROM energy_method THEN build_energy_hi_j END AS build_hi_j,
        baseline_energy_j_per_inference * saved AS saving,
        baseline_energy_j_per_inference * saved_lo AS saving_lo,
        baseline_energy_j_per_inference * saved_hi AS saving_hi
    FROM arms
    LEFT JOIN artifact USING (artifact_id)
),
judged AS (
    SELECT
        *,
        CASE
            WHEN variant = baseline_variant THEN {'outcome': 'baseline', 'reason': NULL}
            WHEN is_unbuilt THEN {'outcome': 'unbuilt', 'reason': 'it is neither compressed nor compiled nor exported'}
            WHEN build_energy_j IS NULL THEN {
                'outcome': 'unknown', 'reason': concat_ws(': ', 'no energy of its building', build_energy_reason)
            }
            WHEN baseline_variant IS NULL THEN {'outcome': 'unknown', 'reason': 'no baseline finished'}
            WHEN energy_j_per_inference IS NULL THEN {'outcome': 'unknown', 'reason': 'no energy per inference'}
            WHEN baseline_energy_j_per_inference IS NULL THEN {
                'outcome': 'unknown', 'reason': 'no energy per inference of the baseline'
            }
            WHEN saving IS NULL THEN {
                'outcome': 'unknown', 'reason': 'no block in which one method obtained both energies'
            }
            WHEN saving_lo IS NULL THEN {'outcome': 'unclear', 'reason': 'too few blocks for an interval'}
            WHEN saving_lo <= 0 AND saving_hi > 0 THEN {
                'outcome': 'unclear', 'reason': 'the interval leaves open whether it saves energy'
            }
            WHEN is_unsure THEN {
                'outcome': 'unclear', 'reason': 'the difference in energy does not survive the correction for all arms'
            }
            WHEN saving_hi <= 0 THEN {'outcome': 'never', 'reason': 'an inference takes no less than the baseline''s'}
            ELSE {'outcome': 'repays', 'reason': NULL}
        END AS judgement
    FROM told
)
SELECT
    campaign_id,
    campaign,
    workload,
    variant,
    engine,
    scenario,
    device,
    build_energy_j,
    build_energy_method,
    energy_j_per_inference,
    energy_method,
    baseline_variant,
    baseline_energy_j_per_inference,
    saving AS saving_j_per_inference,
    saving_lo AS saving_lo_j_per_inference,
    saving_hi AS saving_hi_j_per_inference,
    CASE WHEN judgement.outcome = 'repays' THEN build_energy_j / saving END AS break_even_inferences,
    CASE WHEN judgement.outcome = 'repays' THEN coalesce(build_lo_j, build_energy_j) / saving_hi END AS break_even_lo,
    CASE WHEN judgement.outcome = 'repays' THEN coalesce(build_hi_j, build_energy_j) / saving_lo END AS break_even_hi,
    judgement.outcome,
    judgement.reason
FROM judged;
