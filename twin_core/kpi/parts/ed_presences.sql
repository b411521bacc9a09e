-- Patients in emergency departments: one row per patient and unbroken time in one place. A patient is
-- in the ED while an EMER visit is arrived, triaged or in progress, wherever they lie; one without a
-- place is in the facility's ED if it has exactly one. in_bay: in a bed.
CREATE OR REPLACE MACRO kpi_part.ed_presences(
    window_start, window_end, grain, "by", known_at
) AS TABLE
WITH scope AS (FROM kpi_part.scope(window_start, window_end, grain, "by", known_at)),
ed AS (FROM kpi_part.ed_units(known_at)),
only_ed AS (SELECT facility, min(unit) AS unit FROM ed GROUP BY facility HAVING count(*) = 1),
visit AS (
    SELECT e.encounter_id, coalesce(e.patient_id, e.encounter_id) AS patient,
           coalesce(e.facility, '') AS facility,
           greatest(c.from_at, scope.from_at) AS from_at, least(c.to_at, scope.seen_to) AS to_at
    FROM kpi_part.course(window_start, window_end, known_at) c
    JOIN history.encounter(known_at) e ON e.encounter_id = c.encounter_id
    JOIN scope ON c.from_at < scope.seen_to AND c.to_at > scope.from_at
    WHERE c.class = 'EMER' AND c.status IN ('arrived', 'triaged', 'in-progress')
),
piece AS (
    SELECT patient, stay_id, stay_from, facility, unit, bed_key, from_at, to_at
    FROM kpi_part.stay_pieces(window_start, window_end, known_at)
    WHERE patient IN (SELECT patient FROM visit)
),
cut AS (
    SELECT patient, from_at AS cut_at FROM visit UNION SELECT patient, to_at FROM visit
    UNION SELECT patient, from_at FROM piece UNION SELECT patient, to_at FROM piece
),
slice AS (
    SELECT patient, cut_at AS from_at,
           lead(cut_at) OVER (PARTITION BY patient ORDER BY cut_at) AS to_at
    FROM cut
),
placed AS (
    SELECT s.patient, min(v.encounter_id) AS encounter_id, s.from_at, any_value(s.to_at) AS to_at,
           coalesce(arg_max(p.facility, (p.stay_from, p.stay_id)), any_value(v.facility)) AS facility,
           arg_max(p.unit, (p.stay_from, p.stay_id)) AS unit,
           coalesce(bool_or(p.bed_key IS NOT NULL), false) AS in_bay
    FROM slice s
    JOIN visit v ON v.patient = s.patient AND v.from_at <= s.from_at AND v.to_at > s.from_at
    LEFT JOIN piece p ON p.patient = s.patient AND p.from_at <= s.from_at AND p.to_at > s.from_at
    GROUP BY s.patient, s.from_at
)
SELECT kpi_part.group_facility("by", p.facility) AS in_facility,
       kpi_part.group_unit("by", coalesce(p.unit, o.unit)) AS in_unit, p.encounter_id, p.in_bay,
       p.from_at, p.to_at
FROM placed p LEFT JOIN only_ed o ON o.facility = p.facility;
