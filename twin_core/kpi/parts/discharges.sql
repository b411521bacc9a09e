-- Every departure from the hospital in the known window, deaths included: one row per encounter,
-- with the unit of its last stay. The spell begins with its first inpatient class, not with the
-- arrival in the ED; leave_hours is the leave within it. A part of an inpatient encounter is no
-- discharge of its own, nor is anything cancelled or entered in error.
CREATE OR REPLACE MACRO kpi_part.discharges(window_start, window_end, known_at) AS TABLE
WITH scope AS (FROM kpi_part.scope(window_start, window_end, 'all', 'unit', known_at)),
departed AS (
    SELECT e.* FROM history.encounter(known_at) e, scope
    WHERE e.discharged_at >= scope.from_at AND e.discharged_at < scope.seen_to
      AND coalesce(e.status, '') NOT IN ('planned', 'cancelled', 'entered-in-error')
      AND (e.part_of IS NULL OR e.part_of NOT IN (
              SELECT w.encounter_id FROM history.encounter(known_at) w
              WHERE w.class IN ('IMP', 'ACUTE', 'NONAC')))
),
last_stay AS (
    SELECT s.encounter_id, arg_max(s.facility, (s.from_at, s.stay_id)) AS facility,
           arg_max(s.unit, (s.from_at, s.stay_id)) AS unit,
           arg_max(s.bed IS NOT NULL, (s.from_at, s.stay_id)) AS held_bed
    FROM history.stay(known_at) s SEMI JOIN departed USING (encounter_id)
    WHERE s.to_at IS NULL OR s.to_at > s.from_at
    GROUP BY s.encounter_id
),
inpatient AS (
    SELECT encounter_id, min(from_at) AS from_at
    FROM history.encounter_class(known_at) SEMI JOIN departed USING (encounter_id)
    WHERE class IN ('IMP', 'ACUTE', 'NONAC') GROUP BY ALL
),
leave AS (
    SELECT l.encounter_id, sum(kpi_part.hours(
               greatest(l.from_at, coalesce(i.from_at, d.admitted_at, l.from_at)),
               least(l.to_at, d.discharged_at))) AS hours
    FROM history.encounter_status(known_at) l
    JOIN departed d ON d.encounter_id = l.encounter_id
    LEFT JOIN inpatient i ON i.encounter_id = l.encounter_id
    WHERE l.status = 'onleave'
      AND coalesce(l.to_at, 'infinity') > coalesce(i.from_at, d.admitted_at, l.from_at)
      AND l.from_at < d.discharged_at
    GROUP BY ALL
)
SELECT d.encounter_id, coalesce(s.facility, d.facility, '') AS facility,
       coalesce(s.unit, '') AS unit, d.class, d.disposition,
       coalesce(i.from_at, d.admitted_at) AS spell_start, d.discharged_at,
       coalesce(l.hours, 0.0) AS leave_hours, coalesce(s.held_bed, false) AS held_bed,
       kpi_part.patient_group(d.class) AS patient_group
FROM departed d
LEFT JOIN last_stay s ON s.encounter_id = d.encounter_id
LEFT JOIN inpatient i ON i.encounter_id = d.encounter_id
LEFT JOIN leave l ON l.encounter_id = d.encounter_id;
