-- The discharges of the period, each with its changes of unit.
WITH stated AS (
    SELECT kpi_part.group_facility("by", d.facility) AS in_facility,
           kpi_part.group_unit("by", d.unit) AS in_unit,
           kpi_part.group_visit("by", d.class, t.described_as) AS in_class, d.encounter_id,
           d.spell_start, d.discharged_at, d.moves IS NOT NULL AS placed,
           unnest([{'statistic': 'mean', 'above': d.moves},
                   {'statistic': 'share_3_plus', 'above': (d.moves >= 3)::INTEGER}]) AS row
    FROM kpi_part.ward_moves(window_start, window_end, known_at) d
    LEFT JOIN kpi_part.patients_by("by", known_at) t ON t.described_id = d.encounter_id
)
SELECT s.in_facility, s.in_unit, s.in_class, '' AS kind, s.row.statistic AS statistic,
       p.period_start, p.period_end, 'encounter' AS subject_type, s.encounter_id AS subject_id,
       s.spell_start AS from_at, s.discharged_at AS to_at, s.row.above AS numerator,
       CASE WHEN s.placed THEN 1 END AS denominator
FROM stated s
JOIN kpi_part.periods(window_start, window_end, grain, "by", known_at) p
  ON p.facility = s.in_facility AND s.discharged_at >= p.period_start AND s.discharged_at < p.seen_to
