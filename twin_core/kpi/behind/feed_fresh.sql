-- The last message of each feed in the period; for the gaps every hour, with the last message before
-- its end.
WITH period AS (
    FROM kpi_part.periods(window_start, window_end, grain, 'hospital', known_at)
    WHERE facility = '*' AND seen_to IS NOT NULL
),
figure AS (
    SELECT stratum AS feed, period_start, period_end, statistic, numerator, denominator
    FROM kpi.feed_fresh(window_start, window_end, grain := grain, "by" := 'hospital',
                        known_at := known_at)
    WHERE statistic = 'seconds_since_last'
    UNION ALL
    SELECT stratum, period_start, period_end, statistic, numerator, denominator
    FROM kpi.feed_fresh(window_start, window_end, grain := 'hour', "by" := 'hospital',
                        known_at := known_at)
    WHERE statistic = 'gap_hours'
)
SELECT '*' AS in_facility, '*' AS in_unit, '*' AS in_class, f.feed AS kind, f.statistic,
       p.period_start, p.period_end, 'message' AS subject_type, m.message_id::VARCHAR AS subject_id,
       m.received_at AS from_at, NULL AS to_at, f.numerator, f.denominator
FROM figure f
JOIN period p ON p.period_start <= f.period_start AND p.period_end >= f.period_end
ASOF JOIN core.message m ON m.feed = f.feed AND m.received_at <= least(f.period_end, p.seen_to)
WHERE f.numerator IS NOT NULL
