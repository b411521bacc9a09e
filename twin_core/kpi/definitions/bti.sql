-- title = "Bed turnover interval"
-- question = "How long did a bed stand empty between two patients?"
-- unit = "days"
-- supplied_by = "FHIR Locations of beds (and HL7 v2 ADT^A20), which say which beds are open and staffed"
-- grain = ["hour", "day", "week", "month", "all"]
-- by = ["hospital", "facility", "unit"]
-- direction = "lower, > 0"
-- numerator = "available bed-days minus occupied bed-days"
-- denominator = "discharges including deaths; by unit, exits from the ward (transfers out included)"
-- exclusions = ["above the unit: emergency departments, their beds and their discharges", "patients who held no bed"]
-- strata = {}
-- statistics = { ratio = "empty bed-days over departures" }
-- source = "Classic hospital statistics, the Pabon Lasso set (1986)"
-- caveats = [
--     "Negative means more patients than available beds (hot-bedding, escalation beds); NULL without a departure.",
--     "A bed held for a patient on leave counts as empty.",
--     "By class there is no interval: a bed has no class.",
-- ]
-- inputs = ["history.stay", "history.encounter", "history.encounter_class", "history.encounter_status", "history.location", "history.location_status"]
WITH bed AS (
    SELECT *, (available_hours - occupied_hours) / 24 AS empty_days
    FROM kpi_part.bed_time(window_start, window_end, grain,
             CASE WHEN "by" = 'class' THEN error('bti is not defined by class: a bed has no class.')
                  ELSE "by" END, known_at, false)
    WHERE headline
)
SELECT b.facility, b.unit, b.period_start, b.period_end, b.stratum, 'ratio' AS statistic,
       b.empty_days AS numerator,
       CASE WHEN b.seen_to IS NOT NULL THEN coalesce(d.departures, 0) END AS denominator,
       kpi_part.ratio(b.empty_days, coalesce(d.departures, 0)) AS value,
       coalesce(b.capacity_hours, 0) / kpi_part.hours(b.period_start, b.period_end) AS coverage
FROM bed b
LEFT JOIN kpi_part.bed_departures(window_start, window_end, grain, "by", known_at) d
  ON d.facility IS NOT DISTINCT FROM b.facility AND d.unit IS NOT DISTINCT FROM b.unit
 AND d.period_start = b.period_start
