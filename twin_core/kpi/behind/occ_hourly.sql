-- Bed by bed, the hours it was held and the hours it was available.
WITH bed AS (
    SELECT *, kpi_part.hours(from_at, to_at) AS hours, bool_or(NOT held) OVER (
               PARTITION BY in_facility, in_unit, in_class, kind, period_start) AS known
    FROM kpi_part.beds_behind(window_start, window_end, grain, "by", known_at, true)
)
SELECT in_facility, in_unit, in_class, kind, NULL AS statistic, period_start, period_end,
       subject_type, subject_id, from_at, to_at, CASE WHEN held THEN hours END AS numerator,
       CASE WHEN NOT held THEN hours * available::INTEGER END AS denominator
FROM bed WHERE NOT held OR unit_known OR NOT known
