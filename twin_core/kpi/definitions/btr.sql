-- title = "Bed turnover rate"
-- question = "How many patients did an average bed see leave in this period?"
-- unit = "discharges per bed"
-- supplied_by = "FHIR Locations of beds (and HL7 v2 ADT^A20), which say which beds are open and staffed"
-- grain = ["hour", "day", "week", "month", "all"]
-- by = ["hospital", "facility", "unit", "class"]
-- direction = "higher"
-- numerator = "discharges including deaths; by unit, exits from the ward (transfers out included)"
-- denominator = "mean available beds over the known part of the period"
-- exclusions = ["patients who held no bed", "above the unit: emergency departments, their beds and their discharges", "internal transfers, above the unit"]
-- strata = {}
-- statistics = { ratio = "departures over mean available beds" }
-- counts = { ratio = "u" }
-- source = "Hospital statistics, direct turnover rate (read 2026)"
-- caveats = ["By class, the denominator is the hospital's mean available beds.", "An ED is a unit where at least half of the stays began as EMER visits."]
-- inputs = ["history.stay", "history.encounter", "history.encounter_class", "history.encounter_status", "history.location", "history.location_status"]
WITH bed AS (
    SELECT *, kpi_part.ratio(available_hours, capacity_hours) AS mean_available
    FROM kpi_part.bed_time(window_start, window_end, grain, "by", known_at, false) WHERE headline
)
SELECT b.facility, b.unit, b.period_start, b.period_end, b.stratum, 'ratio' AS statistic,
       CASE WHEN b.seen_to IS NOT NULL THEN coalesce(d.departures, 0) END AS numerator,
       b.mean_available AS denominator,
       CASE WHEN b.seen_to IS NOT NULL
            THEN kpi_part.ratio(coalesce(d.departures, 0), b.mean_available) END AS value,
       coalesce(b.capacity_hours, 0) / kpi_part.hours(b.period_start, b.period_end) AS coverage
FROM bed b
LEFT JOIN kpi_part.bed_departures(window_start, window_end, grain, "by", known_at) d
  ON d.facility IS NOT DISTINCT FROM b.facility AND d.unit IS NOT DISTINCT FROM b.unit
 AND d.stratum IS NOT DISTINCT FROM b.stratum AND d.period_start = b.period_start
