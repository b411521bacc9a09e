-- Who left a bed, and bed by bed its share of the mean available beds.
WITH capacity AS (
    SELECT in_facility, in_unit, in_class, period_start, period_end, subject_type, subject_id,
           from_at, to_at, available
    FROM kpi_part.beds_behind(window_start, window_end, grain, "by", known_at, false)
    WHERE NOT held AND kind = ''
),
known AS (
    SELECT facility, unit, stratum, period_start, capacity_hours
    FROM kpi_part.bed_time(window_start, window_end, grain, "by", known_at, false) WHERE headline
)
SELECT in_facility, in_unit, in_class, '' AS kind, NULL AS statistic, period_start, period_end,
       'encounter' AS subject_type, encounter_id AS subject_id, left_at AS from_at, NULL AS to_at,
       1 AS numerator, NULL AS denominator
FROM kpi_part.departures_behind(window_start, window_end, grain, "by", known_at)
UNION ALL
SELECT c.in_facility, c.in_unit, c.in_class, '', NULL, c.period_start, c.period_end, c.subject_type,
       c.subject_id, c.from_at, c.to_at, NULL,
       c.available::INTEGER * kpi_part.ratio(kpi_part.hours(c.from_at, c.to_at), k.capacity_hours)
FROM capacity c
JOIN known k ON k.facility IS NOT DISTINCT FROM kpi_part.shown(c.in_facility)
 AND k.unit IS NOT DISTINCT FROM kpi_part.shown(c.in_unit)
 AND k.stratum IS NOT DISTINCT FROM kpi_part.shown(c.in_class) AND k.period_start = c.period_start
