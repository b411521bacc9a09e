-- The first store: the journal of messages and events, identity, and one version table per entity.
-- No keys, sequences or enums: ids are assigned by the application, so that the same tables can
-- later live in a lake.
CREATE SCHEMA core;

CREATE TABLE core.meta (key VARCHAR, value VARCHAR);

-- How far the inbox has been applied: the last row is the present. known_at strictly increases.
CREATE TABLE core.batch (batch_no BIGINT, position BIGINT, known_at TIMESTAMPTZ, messages BIGINT);

CREATE TABLE core.message (
    message_id BIGINT, batch_no BIGINT, format VARCHAR, feed VARCHAR, sender VARCHAR,
    control_id VARCHAR, trigger_event VARCHAR, received_at TIMESTAMPTZ, sent_at TIMESTAMPTZ,
    sequence BIGINT, digest BLOB, origin VARCHAR, status VARCHAR, code VARCHAR, reason VARCHAR,
    faults VARCHAR, replayed_at TIMESTAMPTZ
);

CREATE TABLE core.raw (message_id BIGINT, raw BLOB);

-- Events as translated. node points at core.node: the primary identifier of whatever the event is
-- about. payload is the JSON of twin_core.events.
CREATE TABLE core.event (
    event_no BIGINT, message_id BIGINT, ordinal INTEGER, event VARCHAR, occurred_at TIMESTAMPTZ,
    recorded_at TIMESTAMPTZ, node BIGINT, payload VARCHAR
);

-- Identifiers as they were first seen, and which ones belong together. kind: p patient,
-- e encounter, l location, d device, o directory, c census. hash is 8 bytes of BLAKE2b over kind,
-- system and value. A node without a row in core.family is a family of its own.
CREATE TABLE core.node (
    node BIGINT, kind VARCHAR, system VARCHAR, value VARCHAR, type VARCHAR, hash BIGINT
);
CREATE TABLE core.family (node BIGINT, family BIGINT);

-- Findings noted on a message at intake; they never change.
CREATE TABLE core.message_finding (
    finding_id VARCHAR, kind VARCHAR, subject VARCHAR, message_id BIGINT, found_at TIMESTAMPTZ,
    detail VARCHAR
);

CREATE TABLE core.facility (facility VARCHAR, time_zone VARCHAR, name VARCHAR);

CREATE TABLE core.patient_version (
    patient_id VARCHAR, birth_date DATE, birth_date_precision VARCHAR, sex VARCHAR,
    deceased BOOLEAN, deceased_at TIMESTAMPTZ, family_name VARCHAR, given_name VARCHAR,
    postal_code VARCHAR, merged_into VARCHAR,
    version_no BIGINT, owner BIGINT, known_from TIMESTAMPTZ, known_to TIMESTAMPTZ
);
CREATE TABLE core.patient_identifier_version (
    patient_id VARCHAR, system VARCHAR, value VARCHAR, type VARCHAR,
    version_no BIGINT, owner BIGINT, known_from TIMESTAMPTZ, known_to TIMESTAMPTZ
);
CREATE TABLE core.encounter_version (
    encounter_id VARCHAR, patient_id VARCHAR, facility VARCHAR, class VARCHAR, status VARCHAR,
    admitted_at TIMESTAMPTZ, discharged_at TIMESTAMPTZ, service VARCHAR, admit_source VARCHAR,
    disposition VARCHAR, part_of VARCHAR, attending VARCHAR, start_inferred BOOLEAN,
    version_no BIGINT, owner BIGINT, known_from TIMESTAMPTZ, known_to TIMESTAMPTZ
);
CREATE TABLE core.encounter_identifier_version (
    encounter_id VARCHAR, system VARCHAR, value VARCHAR, type VARCHAR,
    version_no BIGINT, owner BIGINT, known_from TIMESTAMPTZ, known_to TIMESTAMPTZ
);
CREATE TABLE core.encounter_status_version (
    encounter_id VARCHAR, status VARCHAR, from_at TIMESTAMPTZ, to_at TIMESTAMPTZ,
    version_no BIGINT, owner BIGINT, known_from TIMESTAMPTZ, known_to TIMESTAMPTZ
);
CREATE TABLE core.encounter_class_version (
    encounter_id VARCHAR, class VARCHAR, from_at TIMESTAMPTZ, to_at TIMESTAMPTZ,
    version_no BIGINT, owner BIGINT, known_from TIMESTAMPTZ, known_to TIMESTAMPTZ
);
CREATE TABLE core.encounter_milestone_version (
    encounter_id VARCHAR, kind VARCHAR, "at" TIMESTAMPTZ,
    version_no BIGINT, owner BIGINT, known_from TIMESTAMPTZ, known_to TIMESTAMPTZ
);
CREATE TABLE core.stay_version (
    stay_id VARCHAR, encounter_id VARCHAR, patient_id VARCHAR, facility VARCHAR, unit VARCHAR,
    room VARCHAR, bed VARCHAR, location_id VARCHAR, from_at TIMESTAMPTZ, to_at TIMESTAMPTZ,
    start_inferred BOOLEAN,
    version_no BIGINT, owner BIGINT, known_from TIMESTAMPTZ, known_to TIMESTAMPTZ
);
CREATE TABLE core.location_version (
    location_id VARCHAR, kind VARCHAR, facility VARCHAR, unit VARCHAR, room VARCHAR, bed VARCHAR,
    name VARCHAR, parent_id VARCHAR, operational_status VARCHAR, staffed BOOLEAN,
    version_no BIGINT, owner BIGINT, known_from TIMESTAMPTZ, known_to TIMESTAMPTZ
);
CREATE TABLE core.location_identifier_version (
    location_id VARCHAR, system VARCHAR, value VARCHAR, type VARCHAR,
    version_no BIGINT, owner BIGINT, known_from TIMESTAMPTZ, known_to TIMESTAMPTZ
);
CREATE TABLE core.location_status_version (
    location_id VARCHAR, operational_status VARCHAR, staffed BOOLEAN,
    from_at TIMESTAMPTZ, to_at TIMESTAMPTZ,
    version_no BIGINT, owner BIGINT, known_from TIMESTAMPTZ, known_to TIMESTAMPTZ
);
CREATE TABLE core.device_version (
    device_id VARCHAR, kind VARCHAR, name VARCHAR, manufacturer VARCHAR, model VARCHAR,
    serial_number VARCHAR, status VARCHAR, location_id VARCHAR, patient_id VARCHAR,
    version_no BIGINT, owner BIGINT, known_from TIMESTAMPTZ, known_to TIMESTAMPTZ
);
CREATE TABLE core.device_identifier_version (
    device_id VARCHAR, system VARCHAR, value VARCHAR, type VARCHAR,
    version_no BIGINT, owner BIGINT, known_from TIMESTAMPTZ, known_to TIMESTAMPTZ
);
CREATE TABLE core.directory_version (
    resource_type VARCHAR, system VARCHAR, value VARCHAR, name VARCHAR, active BOOLEAN,
    version_no BIGINT, owner BIGINT, known_from TIMESTAMPTZ, known_to TIMESTAMPTZ
);
CREATE TABLE core.source_census_version (
    source VARCHAR, facility VARCHAR, unit VARCHAR, "at" TIMESTAMPTZ, census BIGINT,
    version_no BIGINT, owner BIGINT, known_from TIMESTAMPTZ, known_to TIMESTAMPTZ
);
CREATE TABLE core.fold_finding_version (
    finding_id VARCHAR, kind VARCHAR, subject VARCHAR, message_id BIGINT, found_at TIMESTAMPTZ,
    detail VARCHAR,
    version_no BIGINT, owner BIGINT, known_from TIMESTAMPTZ, known_to TIMESTAMPTZ
);
