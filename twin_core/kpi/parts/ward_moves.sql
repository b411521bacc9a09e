-- How often the inpatients discharged in the known window were moved from unit to unit during their
-- spell: one row per discharge, moves NULL where no stay was recorded.
CREATE OR REPLACE MACRO kpi_part.ward_moves(window_start, window_end, known_at) AS TABLE
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
counted AS (
    SELECT encounter_id, count(*) FILTER (WHERE moved) AS moves FROM placed GROUP BY ALL
)
SELECT d.encounter_id, d.facility, d.unit, d.class, d.spell_start, d.discharged_at, c.moves
FROM discharge d LEFT JOIN counted c ON c.encounter_id = d.encounter_id;
