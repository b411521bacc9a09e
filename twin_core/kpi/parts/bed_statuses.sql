-- The capacity of every bed over time. known: somebody said whether the bed is staffed; available:
-- open and staffed, and neither closed (C) nor contaminated (K). Only beds are listed, never the
-- rooms and units they are in.
CREATE OR REPLACE MACRO kpi_part.bed_statuses(window_start, window_end, known_at) AS TABLE
WITH scope AS (FROM kpi_part.scope(window_start, window_end, 'all', 'unit', known_at)),
timed AS (
    SELECT location_id, staffed, operational_status,
           greatest(coalesce(s.from_at, '-infinity'), scope.from_at) AS from_at,
           least(coalesce(s.to_at, 'infinity'), scope.seen_to) AS to_at
    FROM history.location_status(known_at) s, scope
)
SELECT l.location_id AS bed_key, coalesce(l.facility, '') AS facility,
       coalesce(l.unit, '') AS unit, t.from_at, t.to_at,
       t.staffed IS NOT NULL AS known,
       coalesce(t.staffed AND coalesce(t.operational_status, '') NOT IN ('C', 'K'), false)
           AS available
FROM history.location(known_at) l
LEFT JOIN timed t ON t.location_id = l.location_id AND t.from_at < t.to_at
WHERE l.kind = 'bd';
