-- Patients in emergency departments and their treatment spaces per group, as a staircase like
-- kpi_part.bed_steps. A patient is in the ED while an EMER visit is arrived, triaged or in progress,
-- wherever they lie; one without a place is in the facility's ED if it has exactly one.
CREATE OR REPLACE MACRO kpi_part.ed_steps(window_start, window_end, grain, "by", known_at) AS TABLE
WITH scope AS (FROM kpi_part.scope(window_start, window_end, grain, "by", known_at)),
ed AS (FROM kpi_part.ed_units(known_at)),
only_ed AS (SELECT facility, min(unit) AS unit FROM ed GROUP BY facility HAVING count(*) = 1),
visit AS (
    SELECT coalesce(e.patient_id, e.encounter_id) AS patient, coalesce(e.facility, '') AS facility,
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
    SELECT s.patient, s.from_at, any_value(s.to_at) AS to_at,
           coalesce(arg_max(p.facility, (p.stay_from, p.stay_id)), any_value(v.facility)) AS facility,
           arg_max(p.unit, (p.stay_from, p.stay_id)) AS unit,
           coalesce(bool_or(p.bed_key IS NOT NULL), false) AS in_bay
    FROM slice s
    JOIN visit v ON v.patient = s.patient AND v.from_at <= s.from_at AND v.to_at > s.from_at
    LEFT JOIN piece p ON p.patient = s.patient AND p.from_at <= s.from_at AND p.to_at > s.from_at
    GROUP BY s.patient, s.from_at
),
present AS (
    SELECT kpi_part.group_facility("by", p.facility) AS in_facility,
           kpi_part.group_unit("by", coalesce(p.unit, o.unit)) AS in_unit, p.in_bay,
           p.from_at, p.to_at
    FROM placed p LEFT JOIN only_ed o ON o.facility = p.facility
),
space AS (
    SELECT kpi_part.group_facility("by", b.facility) AS in_facility,
           kpi_part.group_unit("by", b.unit) AS in_unit, b.from_at, b.to_at,
           b.available::INTEGER AS available
    FROM kpi_part.bed_statuses(window_start, window_end, known_at) b
    JOIN ed ON ed.facility = b.facility AND ed.unit = b.unit
    WHERE b.known
),
grouping AS (
    SELECT DISTINCT in_facility, in_unit FROM present
    UNION SELECT DISTINCT in_facility, in_unit FROM space
    UNION SELECT kpi_part.group_facility("by", facility), kpi_part.group_unit("by", unit) FROM ed
),
change AS (
    SELECT in_facility, in_unit, from_at AS changed_at, 1 AS patients,
           (NOT in_bay)::INTEGER AS no_bay, 0 AS available, 0 AS known FROM present
    UNION ALL
    SELECT in_facility, in_unit, to_at, -1, -(NOT in_bay)::INTEGER, 0, 0 FROM present
    UNION ALL SELECT in_facility, in_unit, from_at, 0, 0, available, 1 FROM space
    UNION ALL SELECT in_facility, in_unit, to_at, 0, 0, -available, -1 FROM space
    UNION ALL
    SELECT g.in_facility, g.in_unit, p.period_start, 0, 0, 0, 0
    FROM grouping g
    JOIN kpi_part.periods(window_start, window_end, grain, "by", known_at) p
      ON p.facility = g.in_facility
),
instant AS (
    SELECT in_facility, in_unit, changed_at, sum(patients) AS patients, sum(no_bay) AS no_bay,
           sum(available) AS available, sum(known) AS known
    FROM change GROUP BY ALL
),
running AS (
    SELECT in_facility, in_unit, changed_at,
           lead(changed_at, 1, 'infinity'::TIMESTAMPTZ) OVER staircase AS next_at,
           sum(patients) OVER staircase AS patients, sum(no_bay) OVER staircase AS no_bay,
           sum(available) OVER staircase AS available, sum(known) OVER staircase AS known
    FROM instant WINDOW staircase AS (PARTITION BY in_facility, in_unit ORDER BY changed_at)
)
SELECT kpi_part.shown(r.in_facility) AS facility, kpi_part.shown(r.in_unit) AS unit,
       p.period_start, p.period_end, p.seen_to, r.changed_at AS from_at,
       least(r.next_at, p.period_end, p.seen_to) AS to_at, r.patients, r.no_bay,
       CASE WHEN r.known > 0 THEN r.available END AS available
FROM running r
ASOF JOIN kpi_part.periods(window_start, window_end, grain, "by", known_at) p
  ON p.facility = r.in_facility AND p.period_start <= r.changed_at
WHERE r.changed_at < p.period_end AND (r.changed_at < p.seen_to OR r.changed_at = p.period_start);
