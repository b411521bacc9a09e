-- Who was in the ED from when to when, in hours of the period; the spaces likewise.
WITH period AS (
    FROM kpi_part.periods(window_start, window_end, grain, "by", known_at)
    WHERE seen_to IS NOT NULL
),
space AS (
    SELECT kpi_part.group_facility("by", b.facility) AS in_facility,
           kpi_part.group_unit("by", b.unit) AS in_unit, b.bed_key, b.from_at, b.to_at, b.available
    FROM kpi_part.bed_statuses(window_start, window_end, known_at) b
    JOIN kpi_part.ed_units(known_at) ed ON ed.facility = b.facility AND ed.unit = b.unit
    WHERE b.known
),
known AS (
    SELECT kpi_part.group_facility("by", facility) AS in_facility,
           kpi_part.group_unit("by", unit) AS in_unit, from_at, to_at
    FROM kpi_part.ed_steps(window_start, window_end, grain, "by", known_at)
    WHERE available IS NOT NULL AND to_at > from_at
),
patient AS (
    SELECT x.in_facility, x.in_unit, x.encounter_id, x.in_bay, p.period_start, p.period_end, p.seen_to,
           greatest(x.from_at, p.period_start) AS from_at, least(x.to_at, p.seen_to) AS to_at,
           x.to_at >= p.seen_to AS at_end
    FROM kpi_part.ed_presences(window_start, window_end, grain, "by", known_at) x
    JOIN period p
      ON p.facility = x.in_facility AND x.from_at < p.seen_to AND x.to_at > p.period_start
),
bay AS (
    SELECT s.in_facility, s.in_unit, s.bed_key, s.available::INTEGER AS available, p.period_start,
           p.period_end, p.seen_to, greatest(s.from_at, p.period_start) AS from_at,
           least(s.to_at, p.seen_to) AS to_at, s.to_at >= p.seen_to AS at_end
    FROM space s
    JOIN period p
      ON p.facility = s.in_facility AND s.from_at < p.seen_to AND s.to_at > p.period_start
),
timed AS (
    SELECT p.in_facility, p.in_unit, p.encounter_id, p.in_bay, p.period_start, p.period_end,
           p.from_at, p.to_at, p.at_end, sum(kpi_part.hours(
               greatest(k.from_at, p.from_at), least(k.to_at, p.to_at))) AS known_hours
    FROM patient p
    LEFT JOIN known k ON k.in_facility = p.in_facility AND k.in_unit = p.in_unit
     AND k.from_at < p.to_at AND k.to_at > p.from_at
    GROUP BY ALL
),
equipped AS (SELECT DISTINCT in_facility, in_unit, period_start FROM bay),
counted AS (
    SELECT t.*, 'encounter' AS subject_type, CASE WHEN e.period_start IS NULL
               THEN kpi_part.hours(t.from_at, t.to_at) ELSE coalesce(t.known_hours, 0) END AS hours
    FROM timed t
    LEFT JOIN equipped e ON e.in_facility = t.in_facility AND e.in_unit = t.in_unit
                        AND e.period_start = t.period_start
),
stated AS (
    SELECT in_facility, in_unit, encounter_id AS subject_id, subject_type, period_start, period_end,
           from_at, to_at, unnest([
               {'kind': '', 'statistic': 'ratio', 'above': hours, 'below': NULL, 'counts': true},
               {'kind': 'no_bay', 'statistic': 'ratio', 'above': hours, 'below': NULL,
                'counts': NOT in_bay},
               {'kind': '', 'statistic': 'at_end', 'above': 1, 'below': NULL, 'counts': at_end},
               {'kind': 'no_bay', 'statistic': 'at_end', 'above': 1, 'below': NULL,
                'counts': at_end AND NOT in_bay}]) AS row
    FROM counted
    UNION ALL
    SELECT in_facility, in_unit, bed_key, 'location', period_start, period_end, from_at, to_at,
           unnest([
               {'kind': '', 'statistic': 'ratio', 'above': NULL,
                'below': available * kpi_part.hours(from_at, to_at), 'counts': true},
               {'kind': 'no_bay', 'statistic': 'ratio', 'above': NULL,
                'below': available * kpi_part.hours(from_at, to_at), 'counts': true},
               {'kind': '', 'statistic': 'at_end', 'above': NULL, 'below': available::DOUBLE,
                'counts': at_end},
               {'kind': 'no_bay', 'statistic': 'at_end', 'above': NULL, 'below': available::DOUBLE,
                'counts': at_end}])
    FROM bay
)
SELECT in_facility, in_unit, '*' AS in_class, row.kind AS kind, row.statistic AS statistic,
       period_start, period_end, subject_type, subject_id, from_at, to_at, row.above AS numerator,
       row.below AS denominator
FROM stated WHERE row.counts
