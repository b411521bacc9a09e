-- Patients in operating theatres: one row per case, from entering the room until leaving it. Theatres
-- are the units that [kpi] theatres lists; a feed says that a patient is there by a movement (A02)
-- or by tracking (A09, A10), and both count the same.
CREATE OR REPLACE MACRO kpi_part.theatre_cases(known_at) AS TABLE
WITH presence AS (
    SELECT encounter_id, facility, unit, room, from_at, to_at FROM history.stay(known_at)
    UNION
    SELECT encounter_id, facility, unit, room, from_at, to_at
    FROM history.encounter_tracking(known_at) WHERE status = 'arrived'
)
SELECT p.encounter_id, coalesce(e.patient_id, e.encounter_id) AS patient,
       coalesce(p.facility, '') AS facility, p.unit, coalesce(p.room, '') AS room,
       p.from_at AS in_at, p.to_at AS out_at, z.zone,
       timezone(z.zone, p.from_at)::DATE AS operated_on
FROM presence p
JOIN history.encounter(known_at) e ON e.encounter_id = p.encounter_id
JOIN kpi_part.zones(known_at) z ON z.facility = coalesce(p.facility, '')
WHERE kpi_part.listed('theatres', p.unit) AND (p.to_at IS NULL OR p.to_at > p.from_at);
