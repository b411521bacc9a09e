-- Who left a bed; and bed by bed the days it was available less the days it was occupied.
WITH bed AS (
    SELECT *, kpi_part.hours(from_at, to_at) / 24 AS days, bool_or(NOT held) OVER (
               PARTITION BY in_facility, in_unit, period_start) AS known
    FROM kpi_part.beds_behind(window_start, window_end, grain, "by", known_at, false)
    WHERE kind = ''
)
SELECT in_facility, in_unit, in_class, '' AS kind, NULL AS statistic, period_start, period_end,
       'encounter' AS subject_type, encounter_id AS subject_id, left_at AS from_at, NULL AS to_at,
       NULL AS numerator, 1 AS denominator
FROM kpi_part.departures_behind(window_start, window_end, grain, "by", known_at)
UNION ALL
SELECT in_facility, in_unit, in_class, '', NULL, period_start, period_end, subject_type, subject_id,
       from_at, to_at, CASE WHEN held THEN -days ELSE days * available::INTEGER END, NULL
FROM bed WHERE known AND (unit_known OR NOT held)
