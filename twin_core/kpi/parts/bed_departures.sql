-- Departures from a bed, for turnover: by unit every exit from the ward (transfers included), at
-- every other level only departures from the hospital, and those not out of an ED.
CREATE OR REPLACE MACRO kpi_part.bed_departures(
    window_start, window_end, grain, "by", known_at
) AS TABLE
WITH left_bed AS (
    SELECT kpi_part.group_facility("by", facility) AS in_facility,
           kpi_part.group_unit("by", unit) AS in_unit, '*' AS in_class, to_at AS left_at
    FROM kpi_part.presences(window_start, window_end, "by", known_at)
    WHERE "by" = 'unit' AND held_bed AND went IS NOT NULL
    UNION ALL
    SELECT kpi_part.group_facility("by", facility), kpi_part.group_unit("by", unit),
           kpi_part.group_class("by", class), discharged_at
    FROM kpi_part.discharges(window_start, window_end, known_at)
    WHERE "by" <> 'unit' AND held_bed
      AND (facility, unit) NOT IN (SELECT (facility, unit) FROM kpi_part.ed_units(known_at))
)
SELECT kpi_part.shown(l.in_facility) AS facility, kpi_part.shown(l.in_unit) AS unit,
       kpi_part.shown(l.in_class) AS stratum, p.period_start, count(*) AS departures
FROM left_bed l
JOIN kpi_part.periods(window_start, window_end, grain, "by", known_at) p
  ON p.facility = l.in_facility AND l.left_at >= p.period_start AND l.left_at < p.seen_to
GROUP BY ALL;
