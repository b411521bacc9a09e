-- The beds held, and those whose staffing was known, at the fullest moment of the period.
WITH lasting AS (
    SELECT *, CASE WHEN available IS NOT NULL THEN kpi_part.ratio(counted, available) END AS fullness
    FROM kpi_part.bed_steps(window_start, window_end, grain, "by", known_at, true)
    WHERE headline AND to_at > from_at
),
peak AS (
    SELECT facility, unit, stratum, period_start, from_at AS peak_at FROM lasting
    QUALIFY row_number() OVER (PARTITION BY facility, unit, stratum, period_start
                               ORDER BY fullness DESC NULLS LAST, occupied DESC, from_at) = 1
),
bed AS (
    SELECT b.*, p.peak_at, bool_or(NOT b.held) OVER (
               PARTITION BY b.in_facility, b.in_unit, b.in_class, b.period_start) AS known
    FROM kpi_part.beds_behind(window_start, window_end, grain, "by", known_at, true) b
    JOIN peak p ON p.facility IS NOT DISTINCT FROM kpi_part.shown(b.in_facility)
     AND p.unit IS NOT DISTINCT FROM kpi_part.shown(b.in_unit)
     AND p.stratum IS NOT DISTINCT FROM kpi_part.shown(b.in_class)
     AND p.period_start = b.period_start AND b.from_at <= p.peak_at AND b.to_at > p.peak_at
    WHERE b.kind = ''
)
SELECT in_facility, in_unit, in_class, kind, NULL AS statistic, period_start, period_end,
       subject_type, subject_id, peak_at AS from_at, NULL AS to_at,
       CASE WHEN held THEN 1 END AS numerator,
       CASE WHEN NOT held THEN available::INTEGER END AS denominator
FROM bed WHERE NOT held OR unit_known OR NOT known
