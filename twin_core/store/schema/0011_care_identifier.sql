-- Under which numbers sources know requests, tasks, procedures, schedules, slots and metrics.
CREATE TABLE core.care_identifier_version (
    resource_type VARCHAR, care_id VARCHAR, system VARCHAR, value VARCHAR, type VARCHAR,
    version_no BIGINT, owner BIGINT, known_from TIMESTAMPTZ, known_to TIMESTAMPTZ
);
