-- The beds held, and those whose staffing was known, at each midnight.
WITH bed AS (
    SELECT b.*, m.midnight, bool_or(NOT b.held) OVER (
               PARTITION BY b.in_facility, b.in_unit, b.in_class, b.kind, b.period_start) AS known
    FROM kpi_part.beds_behind(window_start, window_end, grain, "by", known_at, true) b
    JOIN kpi_part.midnights(window_start, window_end, grain, "by", known_at) m
      ON m.facility = b.in_facility AND m.period_start = b.period_start AND m.seen
     AND b.from_at <= m.midnight AND b.to_at > m.midnight
)
SELECT in_facility, in_unit, in_class, kind, NULL AS statistic, period_start, period_end,
       subject_type, subject_id, midnight AS from_at, NULL AS to_at,
       CASE WHEN held THEN 1 END AS numerator,
       CASE WHEN NOT held THEN available::INTEGER END AS denominator
FROM bed WHERE NOT held OR unit_known OR NOT known
