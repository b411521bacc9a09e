-- Data-quality findings: noted on messages, following from folds, and beds with two patients.
CREATE OR REPLACE VIEW twin.bed_conflict AS
WITH ordered AS (
    SELECT stay_id, encounter_id, facility, unit, room, bed, from_at,
           coalesce(to_at, 'infinity'::TIMESTAMPTZ) AS until_at, known_from,
           max(coalesce(to_at, 'infinity'::TIMESTAMPTZ)) OVER (
               PARTITION BY facility, unit, room, bed ORDER BY from_at, stay_id
               ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
           ) AS previous_until_at
    FROM core.stay_version WHERE known_to = 'infinity' AND bed IS NOT NULL
)
SELECT stay_id, encounter_id, facility, unit, room, bed, from_at,
       least(until_at, previous_until_at) AS to_at, known_from
FROM ordered WHERE previous_until_at > from_at AND until_at > from_at;
COMMENT ON VIEW twin.bed_conflict IS 'Stays that begin while another patient is still in the bed';
COMMENT ON COLUMN twin.bed_conflict.stay_id IS 'The later stay; see twin.stay';
COMMENT ON COLUMN twin.bed_conflict.encounter_id IS 'Its encounter; see twin.encounter';
COMMENT ON COLUMN twin.bed_conflict.facility IS 'Facility code';
COMMENT ON COLUMN twin.bed_conflict.unit IS 'Nursing unit';
COMMENT ON COLUMN twin.bed_conflict.room IS 'Room';
COMMENT ON COLUMN twin.bed_conflict.bed IS 'The bed that holds two patients';
COMMENT ON COLUMN twin.bed_conflict.from_at IS 'First instant with two patients';
COMMENT ON COLUMN twin.bed_conflict.to_at IS 'First instant without; infinity while it lasts';
COMMENT ON COLUMN twin.bed_conflict.known_from IS 'When it became known';

CREATE OR REPLACE VIEW twin.finding AS
SELECT finding_id, kind, subject, message_id, found_at, detail FROM core.message_finding
UNION ALL
SELECT finding_id, kind, subject, message_id, found_at, detail
FROM core.fold_finding_version WHERE known_to = 'infinity'
UNION ALL
SELECT 'f' || sha256('bed_conflict' || stay_id)[:24], 'bed_conflict', stay_id, NULL, known_from,
       concat_ws('/', facility, unit, room, bed) || ' holds two patients from ' || from_at
FROM twin.bed_conflict;
COMMENT ON VIEW twin.finding IS 'Data-quality findings: what is odd, conflicting or unresolved';
COMMENT ON COLUMN twin.finding.finding_id IS 'Stable id of the finding';
COMMENT ON COLUMN twin.finding.kind IS 'drift, bed_conflict, unresolved_reference, clock_skew, ...';
COMMENT ON COLUMN twin.finding.subject IS 'What it is about: an id of this schema';
COMMENT ON COLUMN twin.finding.message_id IS 'The message that gave rise to it, where one did';
COMMENT ON COLUMN twin.finding.found_at IS 'When it was found';
COMMENT ON COLUMN twin.finding.detail IS 'What was found, without a patient''s details';
