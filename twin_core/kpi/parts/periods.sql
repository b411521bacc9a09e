-- The periods of the window per facility (and '*'), half-open, cut to the window. seen_to is how
-- far a period is known: NULL where it lies wholly beyond the latest known instant.
CREATE OR REPLACE MACRO kpi_part.periods(window_start, window_end, grain, "by", known_at) AS TABLE
WITH scope AS (FROM kpi_part.scope(window_start, window_end, grain, "by", known_at)),
zones AS (FROM kpi_part.zones(known_at)),
split AS (
    SELECT b.zone, b.starts_at,
           lead(b.starts_at) OVER (PARTITION BY b.zone ORDER BY b.starts_at) AS ends_at
    FROM kpi_part.boundaries(window_start, window_end, grain, "by", known_at) b
    UNION ALL
    SELECT DISTINCT z.zone, scope.from_at, scope.to_at FROM zones z, scope WHERE grain = 'all'
),
cut AS (
    SELECT s.zone, greatest(s.starts_at, scope.from_at) AS period_start,
           least(s.ends_at, scope.to_at) AS period_end, scope.as_of
    FROM split s, scope WHERE s.ends_at > scope.from_at AND s.starts_at < scope.to_at
)
SELECT z.facility, z.zone, c.period_start, c.period_end,
       CASE WHEN c.as_of > c.period_start THEN least(c.period_end, c.as_of) END AS seen_to
FROM cut c JOIN zones z ON z.zone = c.zone;
