-- Raw facts only: no grams, no ratios of arms. Times are UTC; quantities are SI base units; missing is NULL.
-- Rows of a trial carry its small number, trial_no; the views give its public name, trial_id. What a trial writes
-- has no index: the one writer looks before it inserts, and an index would be read and written again each time.

CREATE TABLE joulemark_schema (
    version INTEGER NOT NULL,
    name VARCHAR NOT NULL,
    applied_at TIMESTAMP NOT NULL,
    views_digest VARCHAR
);

CREATE TABLE campaign (
    campaign_id VARCHAR PRIMARY KEY,
    name VARCHAR NOT NULL,
    content_hash VARCHAR NOT NULL,
    spec VARCHAR NOT NULL,
    seed BIGINT NOT NULL,
    started_at TIMESTAMP NOT NULL,
    reference VARCHAR,
    baseline VARCHAR NOT NULL,
    intensity_g_per_kwh DOUBLE,
    region VARCHAR,
    provider VARCHAR,
    year INTEGER,
    kind VARCHAR,
    forecast BOOLEAN,
    pue DOUBLE,
    carbon_absence VARCHAR
);

CREATE TABLE arm (
    campaign_id VARCHAR NOT NULL,
    position INTEGER NOT NULL,
    workload VARCHAR NOT NULL,
    variant VARCHAR NOT NULL,
    engine VARCHAR NOT NULL,
    scenario VARCHAR NOT NULL,
    device VARCHAR NOT NULL,
    artifact_id VARCHAR,
    keeps_fp32 BOOLEAN NOT NULL,
    primary_metric VARCHAR NOT NULL,
    quality_metric VARCHAR NOT NULL,
    quality_higher_is_better BOOLEAN NOT NULL,
    fidelity BOOLEAN NOT NULL,
    PRIMARY KEY (campaign_id, workload, variant, engine, scenario, device)
);

CREATE TABLE artifact (
    artifact_id VARCHAR PRIMARY KEY,
    workload VARCHAR NOT NULL,
    engine VARCHAR NOT NULL,
    chain VARCHAR NOT NULL,
    stored_bytes BIGINT NOT NULL,
    parameters BIGINT,
    nonzero BIGINT,
    build_s DOUBLE NOT NULL,
    build_energy_j DOUBLE,
    toolchain VARCHAR NOT NULL,
    files VARCHAR NOT NULL
);

-- A variant is a campaign's name for an artifact: the same artifact may bear several.
CREATE TABLE campaign_artifact (
    campaign_id VARCHAR NOT NULL,
    variant VARCHAR NOT NULL,
    artifact_id VARCHAR NOT NULL,
    PRIMARY KEY (campaign_id, variant, artifact_id)
);

CREATE TABLE environment (
    environment_id VARCHAR NOT NULL,
    hostname VARCHAR NOT NULL,
    os VARCHAR NOT NULL,
    kernel VARCHAR NOT NULL,
    container VARCHAR NOT NULL,
    virtualization VARCHAR NOT NULL,
    cpu_model VARCHAR NOT NULL,
    cpu_flags VARCHAR NOT NULL,
    cpu_governor VARCHAR NOT NULL,
    physical_cores INTEGER NOT NULL,
    logical_cores INTEGER NOT NULL,
    memory_bytes BIGINT NOT NULL,
    gpu_model VARCHAR NOT NULL,
    gpu_driver VARCHAR NOT NULL,
    gpu_uuid VARCHAR NOT NULL,
    python VARCHAR NOT NULL,
    libraries VARCHAR NOT NULL
);

CREATE TABLE trial (
    trial_no INTEGER NOT NULL,
    trial_id VARCHAR NOT NULL,
    campaign_id VARCHAR NOT NULL,
    workload VARCHAR NOT NULL,
    variant VARCHAR NOT NULL,
    engine VARCHAR NOT NULL,
    scenario VARCHAR NOT NULL,
    device VARCHAR NOT NULL,
    block INTEGER NOT NULL,
    position INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    status VARCHAR NOT NULL,
    reason VARCHAR,
    node VARCHAR NOT NULL,
    session VARCHAR NOT NULL,
    started_at TIMESTAMP NOT NULL,
    wall_s DOUBLE,
    opened_ns BIGINT,
    closed_ns BIGINT,
    environment_id VARCHAR NOT NULL,
    git_sha VARCHAR,
    artifact_id VARCHAR,
    warmup_queries INTEGER NOT NULL,
    warmup_batch INTEGER,
    steady_batch INTEGER
);

-- Ten million rows are usual, so only what differs between queries is here: the batch, and where the warm-up
-- ends, are the trial's. scheduled_ns is NULL where every query of the trial started when it was due.
CREATE TABLE sample (
    trial_no INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    scheduled_ns BIGINT,
    started_ns BIGINT NOT NULL,
    latency_ns BIGINT NOT NULL
);

CREATE TABLE metric (
    trial_no INTEGER NOT NULL,
    position INTEGER NOT NULL,
    name VARCHAR NOT NULL,
    value DOUBLE NOT NULL,
    unit VARCHAR NOT NULL,
    method VARCHAR NOT NULL,
    source VARCHAR NOT NULL,
    lo DOUBLE,
    hi DOUBLE,
    scope VARCHAR NOT NULL,
    observations BIGINT,
    largest_gap_s DOUBLE,
    flags VARCHAR NOT NULL
);

CREATE TABLE reading (
    trial_no INTEGER NOT NULL,
    collector VARCHAR NOT NULL,
    device VARCHAR NOT NULL,
    metric VARCHAR NOT NULL,
    at_ns BIGINT NOT NULL,
    value DOUBLE NOT NULL,
    unit VARCHAR NOT NULL
);

CREATE TABLE absence (
    trial_no INTEGER NOT NULL,
    metric VARCHAR NOT NULL,
    reason VARCHAR NOT NULL
);

CREATE TABLE quality_example (
    trial_no INTEGER NOT NULL,
    example INTEGER NOT NULL,
    score DOUBLE NOT NULL
);

-- Derived, and rebuilt from the rows above whenever asked: kept so that the views can tell ratios.
CREATE TABLE comparison (
    campaign_id VARCHAR NOT NULL,
    workload VARCHAR NOT NULL,
    variant VARCHAR NOT NULL,
    engine VARCHAR NOT NULL,
    scenario VARCHAR NOT NULL,
    device VARCHAR NOT NULL,
    baseline_variant VARCHAR NOT NULL,
    blocks INTEGER NOT NULL,
    speedup DOUBLE,
    speedup_lo DOUBLE,
    speedup_hi DOUBLE,
    speedup_p DOUBLE,
    method VARCHAR NOT NULL,
    confidence DOUBLE NOT NULL,
    quality_reference VARCHAR,
    quality_delta DOUBLE,
    quality_lo DOUBLE,
    quality_hi DOUBLE,
    quality_p DOUBLE,
    verdict VARCHAR NOT NULL
);
