-- The capacity of every bed over time, as few periods as possible. known: somebody said whether the
-- bed is staffed; available: open and staffed, and neither closed (C) nor contaminated (K). Only
-- beds are listed, never the rooms and units they are in; a bed without a history has one NULL row.
CREATE OR REPLACE MACRO kpi_part.bed_statuses(window_start, window_end, known_at) AS TABLE
WITH scope AS (FROM kpi_part.scope(window_start, window_end, 'all', 'unit', known_at)),
stated AS (
    SELECT location_id, greatest(coalesce(s.from_at, '-infinity'), scope.from_at) AS from_at,
           least(coalesce(s.to_at, 'infinity'), scope.seen_to) AS to_at,
           staffed AND coalesce(operational_status, '') NOT IN ('C', 'K') AS available
    FROM history.location_status(known_at) s, scope
    WHERE staffed IS NOT NULL AND (s.from_at IS NULL OR s.from_at < scope.seen_to)
      AND (s.to_at IS NULL OR s.to_at > scope.from_at)
),
marked AS (
    SELECT *, (available IS DISTINCT FROM lag(available) OVER bed
               OR from_at > lag(to_at) OVER bed)::INTEGER AS changed
    FROM stated WHERE from_at < to_at WINDOW bed AS (PARTITION BY location_id ORDER BY from_at)
),
numbered AS (
    SELECT *, sum(changed) OVER (PARTITION BY location_id ORDER BY from_at) AS period FROM marked
),
merged AS (
    SELECT location_id, min(from_at) AS from_at, max(to_at) AS to_at,
           any_value(available) AS available
    FROM numbered GROUP BY location_id, period
)
SELECT l.location_id AS bed_key, coalesce(l.facility, '') AS facility,
       coalesce(l.unit, '') AS unit, m.from_at, m.to_at,
       m.available IS NOT NULL AS known, coalesce(m.available, false) AS available
FROM history.location(known_at) l
LEFT JOIN merged m ON m.location_id = l.location_id
WHERE l.kind = 'bd';
