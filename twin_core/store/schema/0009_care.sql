-- Requests, tasks, procedures, and the capacity that can be booked. In core.node their kind is q.
CREATE TABLE core.procedure_version (
    procedure_id VARCHAR, patient_id VARCHAR, encounter_id VARCHAR, status VARCHAR,
    code_system VARCHAR, code VARCHAR, display VARCHAR, started_at TIMESTAMPTZ,
    ended_at TIMESTAMPTZ, location_id VARCHAR, performer VARCHAR, requested_by VARCHAR,
    version_no BIGINT, owner BIGINT, known_from TIMESTAMPTZ, known_to TIMESTAMPTZ
);
CREATE TABLE core.service_request_version (
    service_request_id VARCHAR, patient_id VARCHAR, encounter_id VARCHAR, status VARCHAR,
    intent VARCHAR, priority VARCHAR, code_system VARCHAR, code VARCHAR, display VARCHAR,
    authored_at TIMESTAMPTZ, starts_at TIMESTAMPTZ, ends_at TIMESTAMPTZ, performer VARCHAR,
    based_on VARCHAR,
    version_no BIGINT, owner BIGINT, known_from TIMESTAMPTZ, known_to TIMESTAMPTZ
);
CREATE TABLE core.task_version (
    task_id VARCHAR, patient_id VARCHAR, encounter_id VARCHAR, status VARCHAR,
    intent VARCHAR, priority VARCHAR, code_system VARCHAR, code VARCHAR, display VARCHAR,
    authored_at TIMESTAMPTZ, starts_at TIMESTAMPTZ, ends_at TIMESTAMPTZ, performer VARCHAR,
    focus VARCHAR,
    version_no BIGINT, owner BIGINT, known_from TIMESTAMPTZ, known_to TIMESTAMPTZ
);
CREATE TABLE core.schedule_version (
    schedule_id VARCHAR, status VARCHAR, code_system VARCHAR, code VARCHAR, display VARCHAR,
    location_id VARCHAR, performer VARCHAR, from_at TIMESTAMPTZ, to_at TIMESTAMPTZ,
    version_no BIGINT, owner BIGINT, known_from TIMESTAMPTZ, known_to TIMESTAMPTZ
);
CREATE TABLE core.slot_version (
    slot_id VARCHAR, schedule_id VARCHAR, status VARCHAR, code_system VARCHAR, code VARCHAR,
    display VARCHAR, starts_at TIMESTAMPTZ, ends_at TIMESTAMPTZ,
    version_no BIGINT, owner BIGINT, known_from TIMESTAMPTZ, known_to TIMESTAMPTZ
);
CREATE TABLE core.device_metric_version (
    device_metric_id VARCHAR, device_id VARCHAR, status VARCHAR, category VARCHAR,
    code_system VARCHAR, code VARCHAR, display VARCHAR, unit VARCHAR,
    version_no BIGINT, owner BIGINT, known_from TIMESTAMPTZ, known_to TIMESTAMPTZ
);
