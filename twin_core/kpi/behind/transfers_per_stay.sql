-- The discharges of the period, each with its changes of unit.
WITH discharge AS (
    SELECT * FROM kpi_part.discharges(window_start, window_end, known_at)
    WHERE patient_group = 'inpatient'
),
placed AS (
    SELECT s.encounter_id,
           (s.facility, s.unit) IS DISTINCT FROM lag((s.facility, s.unit)) OVER sequence
               AND lag(s.stay_id) OVER sequence IS NOT NULL AS moved
    FROM history.stay(known_at) s JOIN discharge d ON d.encounter_id = s.encounter_id
    WHERE coalesce(s.to_at, 'infinity') > greatest(s.from_at, d.spell_start)
      AND s.from_at < d.discharged_at
    WINDOW sequence AS (PARTITION BY s.encounter_id ORDER BY s.from_at, s.stay_id)
),
moves AS (
    SELECT encounter_id, count(*) FILTER (WHERE moved) AS moves FROM placed GROUP BY ALL
),
stated AS (
    SELECT kpi_part.group_facility("by", d.facility) AS in_facility,
           kpi_part.group_unit("by", d.unit) AS in_unit,
           kpi_part.group_class("by", d.class) AS in_class, d.encounter_id, d.spell_start,
           d.discharged_at, m.moves IS NOT NULL AS placed,
           unnest([{'statistic': 'mean', 'above': m.moves},
                   {'statistic': 'share_3_plus', 'above': (m.moves >= 3)::INTEGER}]) AS row
    FROM discharge d LEFT JOIN moves m ON m.encounter_id = d.encounter_id
)
SELECT s.in_facility, s.in_unit, s.in_class, '' AS kind, s.row.statistic AS statistic,
       p.period_start, p.period_end, 'encounter' AS subject_type, s.encounter_id AS subject_id,
       s.spell_start AS from_at, s.discharged_at AS to_at, s.row.above AS numerator,
       CASE WHEN s.placed THEN 1 END AS denominator
FROM stated s
JOIN kpi_part.periods(window_start, window_end, grain, "by", known_at) p
  ON p.facility = s.in_facility AND s.discharged_at >= p.period_start AND s.discharged_at < p.seen_to
