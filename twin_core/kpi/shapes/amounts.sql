-- Amounts (a time, a number of days) of the events of a period: the rule gives one row per event with
-- facility, unit, class, happened_at (which period it belongs to), stratum (NULL for the headline)
-- and amount, in the unit of the KPI; NULL where an input is not known.
WITH rule AS (
{rule}
),
event AS (
    SELECT kpi_part.group_facility("by", facility::VARCHAR) AS in_facility,
           kpi_part.group_unit("by", unit::VARCHAR) AS in_unit,
           {in_class} AS in_class,
           coalesce(stratum::VARCHAR, '') AS kind, happened_at,
           amount::DOUBLE AS amount
    FROM rule {described}
),
owed AS (
    SELECT in_facility, in_unit, in_class, '' AS kind
    FROM kpi_part.{owes}(window_start, window_end, "by", known_at)
    UNION SELECT in_facility, in_unit, in_class, kind FROM event
),
summed AS (
    SELECT o.in_facility, o.in_unit, o.in_class, o.kind, p.period_start, p.period_end, p.seen_to,
           count(e.happened_at) AS events, count(e.amount) AS n, sum(e.amount) AS amount,
           quantile_cont(e.amount, 0.5) AS median, quantile_cont(e.amount, 0.9) AS p90,
           count(*) FILTER (WHERE e.amount <= {target}) AS within
    FROM owed o
    JOIN kpi_part.periods(window_start, window_end, grain, "by", known_at) p
      ON p.facility = o.in_facility
    LEFT JOIN event e
      ON e.in_facility = o.in_facility AND e.in_unit = o.in_unit AND e.in_class = o.in_class
     AND e.kind = o.kind AND e.happened_at >= p.period_start AND e.happened_at < p.seen_to
    GROUP BY ALL
),
published AS (
    SELECT *, unnest([
        {'statistic': 'median', 'above': NULL, 'value': median},
        {'statistic': 'p90', 'above': NULL, 'value': p90},
        {'statistic': 'mean', 'above': coalesce(amount, 0), 'value': kpi_part.ratio(amount, n)},
        {'statistic': 'total', 'above': amount, 'value': amount},
        {'statistic': 'share_within', 'above': within, 'value': 100 * kpi_part.ratio(within, n)}
    ]) AS row
    FROM summed
)
SELECT kpi_part.shown(in_facility) AS facility, kpi_part.shown(in_unit) AS unit,
       period_start, period_end, nullif(concat_ws('/', nullif(in_class, '*'), nullif(kind, '')), '')
           AS stratum,
       row.statistic AS statistic, CASE WHEN seen_to IS NOT NULL THEN row.above END AS numerator,
       CASE WHEN seen_to IS NOT NULL THEN n END AS denominator, row.value AS value,
       CASE WHEN seen_to IS NULL THEN 0
            ELSE kpi_part.hours(period_start, seen_to) / kpi_part.hours(period_start, period_end)
                 * CASE WHEN events > 0 THEN n / events ELSE 1 END END AS coverage
FROM published
WHERE (kind = '' OR events > 0) AND row.statistic IN ({statistics})
