-- The counts of the source; for the difference also the patients that the twin saw at each of them.
WITH snapshot AS (
    SELECT DISTINCT c.source, coalesce(c.facility, '') AS facility, coalesce(c.unit, '') AS unit,
           c."at" AS counted_at, c.census, concat_ws('|', c.source, coalesce(c.facility, ''),
                                                     coalesce(c.unit, '')) AS census_id,
           p.facility AS in_facility, kpi_part.group_unit("by", c.unit) AS in_unit, p.period_start,
           p.period_end
    FROM history.source_census(known_at) c
    JOIN kpi_part.periods(window_start, window_end, grain, "by", known_at) p
      ON p.facility = kpi_part.group_facility("by", c.facility) AND c."at" >= p.period_start
     AND c."at" < p.period_end AND c."at" <= p.seen_to
),
seen AS (
    SELECT s.*, p.patient, min(p.encounter_id) AS encounter_id
    FROM snapshot s
    LEFT JOIN kpi_part.stay_pieces(window_start, window_end, known_at) p
      ON p.facility = s.facility AND p.unit = s.unit
     AND p.from_at <= s.counted_at AND p.to_at > s.counted_at
    GROUP BY ALL
),
compared AS (
    SELECT * EXCLUDE (patient, encounter_id), count(patient) AS twin_census FROM seen GROUP BY ALL
),
stated AS (
    SELECT *, unnest([
        {'statistic': 'ratio', 'above': abs(twin_census - census), 'below': census},
        {'statistic': 'difference', 'above': -census, 'below': 1}]) AS row
    FROM compared
)
SELECT in_facility, in_unit, '*' AS in_class, source AS kind, row.statistic AS statistic,
       period_start, period_end, 'census' AS subject_type, census_id AS subject_id,
       counted_at AS from_at, NULL AS to_at, row.above AS numerator, row.below AS denominator
FROM stated
UNION ALL
SELECT in_facility, in_unit, '*', source, 'difference', period_start, period_end, 'encounter',
       encounter_id, counted_at, NULL, CASE WHEN census IS NOT NULL THEN 1 END, NULL
FROM seen WHERE patient IS NOT NULL
