-- The emergency departments: units where at least half of the stays began as emergency (EMER)
-- visits, so that one emergency patient boarded on a ward does not make it an ED.
CREATE OR REPLACE MACRO kpi_part.ed_units(known_at) AS TABLE
WITH first_class AS (
    SELECT s.facility, s.unit, coalesce(arg_max(c.class, c.from_at), any_value(e.class)) AS class
    FROM history.stay(known_at) s
    JOIN history.encounter(known_at) e ON e.encounter_id = s.encounter_id
    LEFT JOIN history.encounter_class(known_at) c
      ON c.encounter_id = s.encounter_id AND c.from_at <= s.from_at
    WHERE s.unit IS NOT NULL
    GROUP BY s.stay_id, s.facility, s.unit
)
SELECT coalesce(facility, '') AS facility, unit FROM first_class
GROUP BY ALL HAVING 2 * count(*) FILTER (WHERE class = 'EMER') >= count(*);
