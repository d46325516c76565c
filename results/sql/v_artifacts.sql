-- One row for each name that an artifact bears in any campaign. What its model cost to prepare, all variants share.
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
    artifact.toolchain,
    artifact.build_energy_lo_j,
    artifact.build_energy_hi_j,
    artifact.build_energy_method,
    artifact.build_energy_source,
    artifact.build_energy_flags,
    artifact.build_energy_reason,
    artifact.prepare_s,
    artifact.prepare_energy_j,
    artifact.compressed_parameters,
    artifact.compressed_bytes
FROM artifact
LEFT JOIN (SELECT DISTINCT artifact_id, variant FROM campaign_artifact) AS named USING (artifact_id);
