-- One row for each name that an artifact bears in any campaign.
CREATE OR REPLACE VIEW v_artifacts AS
SELECT
    artifact.artifact_id,
    artifact.workload,
    named.variant,
    artifact.engine,
    artifact.stored_bytes,
    artifact.parameters,
    artifact.nonzero,
    artifact.build_s,
    artifact.build_energy_j,
    artifact.chain,
    artifact.toolchain
FROM artifact
LEFT JOIN (SELECT DISTINCT artifact_id, variant FROM campaign_artifact) AS named USING (artifact_id);
