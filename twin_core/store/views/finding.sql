-- Data-quality findings: noted on messages, following from folds, and beds with two patients.
CREATE OR REPLACE VIEW twin.bed_conflict AS
WITH present AS (
    SELECT stay_id, encounter_id, patient_id, facility, unit, room, bed, from_at,
           coalesce(to_at, 'infinity'::TIMESTAMPTZ) AS until_at, known_from
    FROM core.stay_version WHERE known_to = 'infinity' AND bed IS NOT NULL
), ordered AS (
    SELECT *, max(until_at) OVER (
               PARTITION BY facility, unit, room, bed ORDER BY from_at, stay_id
               ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
           ) AS previous_until_at
    FROM present
), crowded AS (
    -- Few stays begin before the bed is free; only those are compared with the others.
    SELECT * FROM ordered WHERE previous_until_at > from_at
)
SELECT c.stay_id, c.encounter_id, c.facility, c.unit, c.room, c.bed, c.from_at,
       max(least(c.until_at, o.until_at)) AS to_at, c.known_from
FROM crowded c
JOIN present o
  ON o.bed = c.bed AND o.room IS NOT DISTINCT FROM c.room AND o.unit IS NOT DISTINCT FROM c.unit
 AND o.facility IS NOT DISTINCT FROM c.facility AND o.patient_id IS DISTINCT FROM c.patient_id
 AND (o.from_at, o.stay_id) < (c.from_at, c.stay_id) AND o.until_at > c.from_at
GROUP BY ALL;
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
-- What kept a FHIR resource out is a finding, too: of the resource, not of how it was sent.
SELECT 'f' || sha256('rejected' || message_id || (fault->>'where') || (fault->>'reason'))[:24],
       CASE WHEN fault->>'reason' LIKE '%ends before it starts%' THEN 'reversed_period'
            ELSE CASE fault->>'code' WHEN '101' THEN 'missing_element'
                                     WHEN '102' THEN 'invalid_value'
                                     ELSE 'unknown_code' END END AS kind,
       message_id::VARCHAR, message_id, received_at,
       (fault->>'where') || ': ' || (fault->>'reason') || ' The resource is in quarantine.'
FROM (
    SELECT message_id, received_at, unnest(faults::JSON[]) AS fault FROM core.message
    WHERE status = 'quarantined' AND format = 'fhir' AND replayed_at IS NULL
)
WHERE fault->>'code' IN ('101', '102', '103')
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
