-- Appointments. In core.node their kind is a.
CREATE TABLE core.appointment_version (
    appointment_id VARCHAR, patient_id VARCHAR, encounter_id VARCHAR, status VARCHAR,
    starts_at TIMESTAMPTZ, ends_at TIMESTAMPTZ, duration_minutes BIGINT, facility VARCHAR,
    unit VARCHAR, room VARCHAR, location_id VARCHAR, service VARCHAR, appointment_type VARCHAR,
    urgency VARCHAR, reason VARCHAR, cancel_reason VARCHAR, booked_at TIMESTAMPTZ,
    cancelled_at TIMESTAMPTZ,
    version_no BIGINT, owner BIGINT, known_from TIMESTAMPTZ, known_to TIMESTAMPTZ
);
CREATE TABLE core.appointment_identifier_version (
    appointment_id VARCHAR, system VARCHAR, value VARCHAR, type VARCHAR, occurrence VARCHAR,
    version_no BIGINT, owner BIGINT, known_from TIMESTAMPTZ, known_to TIMESTAMPTZ
);
CREATE TABLE core.appointment_patient_version (
    appointment_id VARCHAR, patient_id VARCHAR, encounter_id VARCHAR, visit_system VARCHAR,
    visit_number VARCHAR,
    version_no BIGINT, owner BIGINT, known_from TIMESTAMPTZ, known_to TIMESTAMPTZ
);
CREATE TABLE core.appointment_resource_version (
    appointment_id VARCHAR, kind VARCHAR, position VARCHAR, system VARCHAR, code VARCHAR,
    name VARCHAR, role VARCHAR, location_id VARCHAR, starts_at TIMESTAMPTZ, ends_at TIMESTAMPTZ,
    status VARCHAR,
    version_no BIGINT, owner BIGINT, known_from TIMESTAMPTZ, known_to TIMESTAMPTZ
);
