-- Occupied and available beds per group as a staircase that changes only at events and period
-- boundaries, so that sums, peaks and midnights all read the same steps. Strata: the beds occupied
-- (NULL, the headline), those held for patients on leave, those with a conflict.
-- counted: occupied beds in units whose capacity is known; staffing_known: those whose own is.
-- Without with_ed, emergency departments are left out, except in rows of a single unit.
CREATE OR REPLACE MACRO kpi_part.bed_steps(
    window_start, window_end, grain, "by", known_at, with_ed
) AS TABLE
WITH left_out AS (
    SELECT facility, unit FROM kpi_part.ed_units(known_at) WHERE NOT with_ed AND "by" <> 'unit'
),
segment AS (
    SELECT s.*, kpi_part.group_facility("by", s.facility) AS in_facility,
           kpi_part.group_unit("by", s.unit) AS in_unit
    FROM kpi_part.bed_segments(window_start, window_end, known_at) s
    ANTI JOIN left_out USING (facility, unit)
),
capacity AS (
    SELECT kpi_part.group_facility("by", s.facility) AS in_facility,
           kpi_part.group_unit("by", s.unit) AS in_unit, s.from_at, s.to_at,
           s.available::INTEGER AS available
    FROM kpi_part.bed_statuses(window_start, window_end, known_at) s
    ANTI JOIN left_out USING (facility, unit)
    WHERE s.known
),
holding AS (
    SELECT in_facility, in_unit, kpi_part.group_class("by", class) AS in_class, 'occupied' AS kind,
           from_at, to_at, known, unit_known
    FROM segment WHERE occupied = 1
    UNION ALL
    SELECT in_facility, in_unit, kpi_part.group_class("by", class), 'on_leave',
           from_at, to_at, known, unit_known
    FROM segment WHERE on_leave = 1
    UNION ALL
    SELECT in_facility, in_unit, '*', 'conflict', from_at, to_at, known, unit_known
    FROM segment WHERE conflict = 1 AND "by" <> 'class'
),
grouping AS (
    SELECT DISTINCT in_facility, in_unit, in_class, kind FROM holding
    UNION
    SELECT in_facility, in_unit, '*', 'occupied'
    FROM kpi_part.places(window_start, window_end, "by", known_at) WHERE "by" <> 'class'
),
change AS (
    SELECT in_facility, in_unit, in_class, kind, from_at AS changed_at, 1 AS occupied,
           unit_known AS counted, known AS staffing_known, 0 AS available, 0 AS known
    FROM holding
    UNION ALL
    SELECT in_facility, in_unit, in_class, kind, to_at, -1, -unit_known, -known, 0, 0 FROM holding
    UNION ALL
    SELECT g.in_facility, g.in_unit, g.in_class, g.kind, s.from_at, 0, 0, 0, s.available, 1
    FROM capacity s JOIN grouping g ON g.in_facility = s.in_facility AND g.in_unit = s.in_unit
    UNION ALL
    SELECT g.in_facility, g.in_unit, g.in_class, g.kind, s.to_at, 0, 0, 0, -s.available, -1
    FROM capacity s JOIN grouping g ON g.in_facility = s.in_facility AND g.in_unit = s.in_unit
    UNION ALL
    SELECT g.in_facility, g.in_unit, g.in_class, g.kind, p.period_start, 0, 0, 0, 0, 0
    FROM grouping g
    JOIN kpi_part.periods(window_start, window_end, grain, "by", known_at) p
      ON p.facility = g.in_facility
),
instant AS (
    SELECT in_facility, in_unit, in_class, kind, changed_at, sum(occupied)::INTEGER AS occupied,
           sum(counted)::INTEGER AS counted, sum(staffing_known)::INTEGER AS staffing_known,
           sum(available)::INTEGER AS available, sum(known)::INTEGER AS known
    FROM change GROUP BY ALL
),
running AS (
    SELECT in_facility, in_unit, in_class, kind, changed_at,
           lead(changed_at, 1, 'infinity'::TIMESTAMPTZ) OVER staircase AS next_at,
           sum(occupied) OVER staircase AS occupied, sum(counted) OVER staircase AS counted,
           sum(staffing_known) OVER staircase AS staffing_known,
           sum(available) OVER staircase AS available, sum(known) OVER staircase AS known
    FROM instant
    WINDOW staircase AS (PARTITION BY in_facility, in_unit, in_class, kind ORDER BY changed_at)
)
SELECT r.in_facility, kpi_part.shown(r.in_facility) AS facility, kpi_part.shown(r.in_unit) AS unit,
       nullif(concat_ws('/', nullif(r.in_class, '*'), nullif(r.kind, 'occupied')), '') AS stratum,
       r.kind = 'occupied' AS headline, p.period_start, p.period_end, p.seen_to,
       r.changed_at AS from_at, least(r.next_at, p.period_end, p.seen_to) AS to_at,
       r.occupied, r.counted, r.staffing_known,
       CASE WHEN r.known > 0 THEN r.available END AS available
FROM running r
ASOF JOIN kpi_part.periods(window_start, window_end, grain, "by", known_at) p
  ON p.facility = r.in_facility AND p.period_start <= r.changed_at
WHERE r.changed_at < p.period_end AND (r.changed_at < p.seen_to OR r.changed_at = p.period_start);
