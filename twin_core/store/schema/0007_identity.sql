-- Links between patients that remain distinct, accounts that were merged, changed or moved, and the
-- account that an encounter belongs to.
CREATE TABLE core.patient_link_version (
    patient_id VARCHAR, linked_patient_id VARCHAR, from_at TIMESTAMPTZ, to_at TIMESTAMPTZ,
    version_no BIGINT, owner BIGINT, known_from TIMESTAMPTZ, known_to TIMESTAMPTZ
);
CREATE TABLE core.account_identifier_version (
    account_id VARCHAR, system VARCHAR, value VARCHAR, type VARCHAR,
    version_no BIGINT, owner BIGINT, known_from TIMESTAMPTZ, known_to TIMESTAMPTZ
);
-- A new table in the place of the old one: every version table has its own columns first.
CREATE TABLE core.encounter_version_with_account AS
SELECT * EXCLUDE (version_no, owner, known_from, known_to),
       NULL::VARCHAR AS account_id, NULL::VARCHAR AS account,
       version_no, owner, known_from, known_to
FROM core.encounter_version;
DROP TABLE core.encounter_version;
ALTER TABLE core.encounter_version_with_account RENAME TO encounter_version;
