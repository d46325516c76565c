CREATE OR REPLACE VIEW v_environments AS
SELECT
    environment_id,
    hostname,
    os,
    kernel,
    container,
    virtualization,
    cpu_model,
    cpu_flags,
    cpu_governor,
    physical_cores,
    logical_cores,
    memory_bytes,
    gpu_model,
    gpu_driver,
    gpu_uuid,
    python,
    libraries
FROM environment;
