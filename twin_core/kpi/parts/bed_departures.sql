-- Departures from a bed, for turnover: by unit every exit from the ward (transfers included), at
-- every other level only departures from the hospital, and those not out of an ED.
CREATE OR REPLACE MACRO kpi_part.bed_departures(
    window_start, window_end, grain, "by", known_at
) AS TABLE
SELECT kpi_part.shown(in_facility) AS facility, kpi_part.shown(in_unit) AS unit,
       kpi_part.shown(in_class) AS stratum, period_start, count(*) AS departures
FROM kpi_part.departures_behind(window_start, window_end, grain, "by", known_at)
GROUP BY ALL;
