-- The departures that kpi_part.bed_departures counts, one row each.
CREATE OR REPLACE MACRO kpi_part.departures_behind(
    window_start, window_end, grain, "by", known_at
) AS TABLE
WITH left_bed AS (
    SELECT kpi_part.group_facility("by", facility) AS in_facility,
           kpi_part.group_unit("by", unit) AS in_unit, '*' AS in_class, to_at AS left_at,
           last_encounter AS encounter_id
    FROM kpi_part.presences(window_start, window_end, "by", known_at)
    WHERE "by" = 'unit' AND held_bed AND went IS NOT NULL
    UNION ALL
    SELECT kpi_part.group_facility("by", facility), kpi_part.group_unit("by", unit),
           kpi_part.group_class("by", class), discharged_at, encounter_id
    FROM kpi_part.discharges(window_start, window_end, known_at)
    WHERE "by" <> 'unit' AND held_bed
      AND (facility, unit) NOT IN (SELECT (facility, unit) FROM kpi_part.ed_units(known_at))
)
SELECT l.*, p.period_start, p.period_end
FROM left_bed l
JOIN kpi_part.periods(window_start, window_end, grain, "by", known_at) p
  ON p.facility = l.in_facility AND l.left_at >= p.period_start AND l.left_at < p.seen_to;
