-- What is to come for an encounter, where its patient is tracked to, and its consulting doctors.
CREATE TABLE core.encounter_plan_version (
    plan_id VARCHAR, encounter_id VARCHAR, kind VARCHAR, status VARCHAR, stated_at TIMESTAMPTZ,
    expected_at TIMESTAMPTZ, ended_at TIMESTAMPTZ, facility VARCHAR, unit VARCHAR, room VARCHAR,
    bed VARCHAR, location_id VARCHAR,
    version_no BIGINT, owner BIGINT, known_from TIMESTAMPTZ, known_to TIMESTAMPTZ
);
CREATE TABLE core.encounter_tracking_version (
    encounter_id VARCHAR, status VARCHAR, temporary BOOLEAN, facility VARCHAR, unit VARCHAR,
    room VARCHAR, bed VARCHAR, location_id VARCHAR, from_at TIMESTAMPTZ, to_at TIMESTAMPTZ,
    version_no BIGINT, owner BIGINT, known_from TIMESTAMPTZ, known_to TIMESTAMPTZ
);
CREATE TABLE core.encounter_consultant_version (
    encounter_id VARCHAR, practitioner VARCHAR,
    version_no BIGINT, owner BIGINT, known_from TIMESTAMPTZ, known_to TIMESTAMPTZ
);
