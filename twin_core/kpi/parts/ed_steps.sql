-- Patients in emergency departments and their treatment spaces per group, as a staircase like
-- kpi_part.bed_steps.
CREATE OR REPLACE MACRO kpi_part.ed_steps(window_start, window_end, grain, "by", known_at) AS TABLE
WITH ed AS (FROM kpi_part.ed_units(known_at)),
present AS (FROM kpi_part.ed_presences(window_start, window_end, grain, "by", known_at)),
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
