-- Observations and device events, as two more tables of versions.
CREATE TABLE core.observation_version (
    observation_id VARCHAR, patient_id VARCHAR, encounter_id VARCHAR, device_id VARCHAR,
    code_system VARCHAR, code VARCHAR, display VARCHAR, sub_id VARCHAR, status VARCHAR,
    effective_at TIMESTAMPTZ, reported_at TIMESTAMPTZ, value_type VARCHAR, "value" VARCHAR,
    value_number DOUBLE, comparator VARCHAR, value_system VARCHAR, value_code VARCHAR,
    unit VARCHAR, unit_system VARCHAR, withheld VARCHAR, reference_range VARCHAR,
    interpretation VARCHAR, body_site VARCHAR, filler_order VARCHAR, placer_order VARCHAR,
    version_no BIGINT, owner BIGINT, known_from TIMESTAMPTZ, known_to TIMESTAMPTZ
);
CREATE TABLE core.device_event_version (
    device_event_id VARCHAR, alarm_id VARCHAR, device_id VARCHAR, patient_id VARCHAR,
    encounter_id VARCHAR, location_id VARCHAR, kind VARCHAR, code_system VARCHAR, code VARCHAR,
    display VARCHAR, priority VARCHAR, alarm_type VARCHAR, phase VARCHAR, state VARCHAR,
    inactivation VARCHAR, occurred_at TIMESTAMPTZ,
    version_no BIGINT, owner BIGINT, known_from TIMESTAMPTZ, known_to TIMESTAMPTZ
);
