-- Who is there at the last known instant of a period: the rule gives one row per presence with
-- facility, unit, class, from_at, to_at (NULL while it lasts), stratum (NULL for the headline) and
-- counted (true, false, or NULL where an input is not known). A presence that ends at the instant
-- still counts, one that begins at it does not.
WITH rule AS (
{rule}
),
presence AS (
    SELECT kpi_part.group_facility("by", facility::VARCHAR) AS in_facility,
           kpi_part.group_unit("by", unit::VARCHAR) AS in_unit,
           {in_class} AS in_class,
           coalesce(stratum::VARCHAR, '') AS kind, from_at,
           coalesce(to_at, 'infinity'::TIMESTAMPTZ) AS to_at, counted
    FROM rule {described} WHERE to_at IS NULL OR to_at > from_at
),
owed AS (
    SELECT in_facility, in_unit, in_class, '' AS kind
    FROM kpi_part.{owes}(window_start, window_end, "by", known_at)
    UNION SELECT in_facility, in_unit, in_class, kind FROM presence
),
summed AS (
    SELECT o.in_facility, o.in_unit, o.in_class, o.kind, p.period_start, p.period_end, p.seen_to,
           count(e.from_at) AS present, count(e.counted) AS n,
           count(*) FILTER (WHERE e.counted) AS counted
    FROM owed o
    JOIN kpi_part.periods(window_start, window_end, grain, "by", known_at) p
      ON p.facility = o.in_facility
    LEFT JOIN presence e
      ON e.in_facility = o.in_facility AND e.in_unit = o.in_unit AND e.in_class = o.in_class
     AND e.kind = o.kind AND e.from_at < p.seen_to AND e.to_at >= p.seen_to
    GROUP BY ALL
),
published AS (
    SELECT *, unnest([
        {'statistic': 'count', 'below': NULL, 'value': counted::DOUBLE},
        {'statistic': 'share', 'below': n, 'value': 100 * kpi_part.ratio(counted, n)}]) AS row
    FROM summed
)
SELECT kpi_part.shown(in_facility) AS facility, kpi_part.shown(in_unit) AS unit,
       period_start, period_end, nullif(concat_ws('/', nullif(in_class, '*'), nullif(kind, '')), '')
           AS stratum,
       row.statistic AS statistic, CASE WHEN seen_to IS NOT NULL THEN counted END AS numerator,
       CASE WHEN seen_to IS NOT NULL THEN row.below END AS denominator,
       CASE WHEN seen_to IS NOT NULL AND (n > 0 OR present = 0) THEN row.value END AS value,
       CASE WHEN seen_to IS NULL THEN 0 WHEN present > 0 THEN n / present ELSE 1 END AS coverage
FROM published
WHERE (kind = '' OR present > 0) AND row.statistic IN ({statistics})
