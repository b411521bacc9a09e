-- The presences behind a snapshot: those of the rule that hold at the last known instant of a period.
WITH rule AS (
{rule}
),
presence AS (
    SELECT kpi_part.group_facility("by", facility::VARCHAR) AS in_facility,
           kpi_part.group_unit("by", unit::VARCHAR) AS in_unit,
           {in_class} AS in_class,
           coalesce(stratum::VARCHAR, '') AS kind, from_at, to_at,
           {subject}_id::VARCHAR AS subject_id, {numerator} AS numerator, {denominator} AS denominator
    FROM rule {described} WHERE to_at IS NULL OR to_at > from_at
)
SELECT e.in_facility, e.in_unit, e.in_class, e.kind, NULL AS statistic, p.period_start,
       p.period_end, CASE WHEN e.subject_id IS NOT NULL THEN '{subject}' END AS subject_type,
       e.subject_id, e.from_at, e.to_at, e.numerator, e.denominator
FROM presence e
JOIN kpi_part.periods(window_start, window_end, grain, "by", known_at) p
  ON p.facility = e.in_facility AND e.from_at < p.seen_to
 AND coalesce(e.to_at, 'infinity'::TIMESTAMPTZ) >= p.seen_to
