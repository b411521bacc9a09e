-- Local boundaries of a grain around the window (one to spare on either side) as UTC instants, per
-- time zone.
-- Hours are counted in elapsed time from each local midnight, so that a day has 23, 24 or 25.
-- Shifts begin at the local times of [kpi] shifts, however long that makes them when clocks change.
CREATE OR REPLACE MACRO kpi_part.boundaries(window_start, window_end, grain, "by", known_at) AS TABLE
WITH scope AS (FROM kpi_part.scope(window_start, window_end, grain, "by", known_at)),
step AS (
    SELECT CASE grain WHEN 'week' THEN 'week' WHEN 'month' THEN 'month' ELSE 'day' END AS part,
           CASE grain WHEN 'week' THEN INTERVAL 7 DAY WHEN 'month' THEN INTERVAL 1 MONTH
                      ELSE INTERVAL 1 DAY END AS width
),
local_start AS (
    SELECT z.zone, unnest(generate_series(
               date_trunc(step.part, timezone(z.zone, scope.from_at)) - step.width,
               timezone(z.zone, scope.to_at) + 2 * step.width,
               step.width)) AS wall
    FROM (SELECT DISTINCT zone FROM kpi_part.zones(known_at)) z, scope, step
    WHERE grain <> 'all'
),
shift AS (SELECT value::TIME AS begins FROM core.kpi_setting WHERE name = 'shifts'),
wall_start AS (
    SELECT zone, wall FROM local_start WHERE grain <> 'shift'
    UNION ALL
    SELECT zone, wall::DATE + begins FROM local_start, shift WHERE grain = 'shift'
),
started AS (SELECT DISTINCT zone, timezone(zone, wall) AS starts_at FROM wall_start),
ended AS (
    SELECT zone, starts_at,
           lead(starts_at) OVER (PARTITION BY zone ORDER BY starts_at) AS ends_at
    FROM started
)
SELECT zone, unnest(CASE
           WHEN grain = 'hour'
           THEN generate_series(starts_at, ends_at - INTERVAL 1 MICROSECOND, INTERVAL 1 HOUR)
           ELSE [starts_at] END) AS starts_at
FROM ended WHERE ends_at IS NOT NULL OR grain <> 'hour';
