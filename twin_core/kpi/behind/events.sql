-- The events behind the amounts, shares and ratios of a period: those of the rule that fall into it.
WITH rule AS (
{rule}
),
event AS (
    SELECT kpi_part.group_facility("by", facility::VARCHAR) AS in_facility,
           kpi_part.group_unit("by", unit::VARCHAR) AS in_unit,
           {in_class} AS in_class,
           coalesce(stratum::VARCHAR, '') AS kind, happened_at,
           {subject}_id::VARCHAR AS subject_id, {numerator} AS numerator, {denominator} AS denominator
    FROM rule {described}
)
SELECT e.in_facility, e.in_unit, e.in_class, e.kind, NULL AS statistic, p.period_start,
       p.period_end, CASE WHEN e.subject_id IS NOT NULL THEN '{subject}' END AS subject_type,
       e.subject_id, e.happened_at AS from_at, NULL AS to_at, e.numerator, e.denominator
FROM event e
JOIN kpi_part.periods(window_start, window_end, grain, "by", known_at) p
  ON p.facility = e.in_facility AND e.happened_at >= p.period_start AND e.happened_at < p.seen_to
