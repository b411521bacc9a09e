-- title = "Peak occupancy"
-- question = "How full were the beds at the fullest moment of the period, and when was that?"
-- unit = "%"
-- supplied_by = "FHIR Locations of beds (and HL7 v2 ADT^A20), which say which beds are open and staffed"
-- grain = ["hour", "day", "week", "month", "all"]
-- by = ["hospital", "facility", "unit", "class"]
-- direction = "lower"
-- numerator = "occupied beds at the peak"
-- denominator = "available staffed beds at the peak"
-- exclusions = ["moves without duration", "beds held for patients on leave"]
-- strata = {}
-- statistics = { max = "highest occupancy of the period", peak_at = "first instant of the peak, in seconds since 1970 (UTC); NULL where no bed was occupied" }
-- source = "Local definition, derived from occ_hourly (2026)"
-- caveats = [
--     "Where no staffing is known, the peak is that of occupied beds and has no denominator.",
--     "Late messages can change a past peak: ask with known_at for what was known then.",
-- ]
-- inputs = ["history.stay", "history.encounter", "history.encounter_class", "history.encounter_status", "history.location", "history.location_status"]
WITH lasting AS (
    SELECT *, CASE WHEN available IS NOT NULL THEN kpi_part.ratio(counted, available) END AS fullness
    FROM kpi_part.bed_steps(window_start, window_end, grain, "by", known_at, true)
    WHERE headline AND (to_at > from_at OR seen_to IS NULL)
),
ranked AS (
    SELECT *, row_number() OVER (
               PARTITION BY facility, unit, stratum, period_start
               ORDER BY fullness DESC NULLS LAST, occupied DESC, from_at) AS place
    FROM lasting
),
peak AS (
    SELECT facility, unit, period_start, period_end, stratum, seen_to, from_at,
           CASE WHEN seen_to IS NULL THEN NULL
                WHEN available IS NULL THEN occupied ELSE counted END AS beds,
           CASE WHEN seen_to IS NOT NULL THEN available END AS available, fullness,
           coalesce(kpi_part.hours(period_start, seen_to) / kpi_part.hours(period_start, period_end), 0)
               * CASE WHEN occupied > 0 THEN staffing_known / occupied
                      ELSE (available IS NOT NULL)::INTEGER END AS coverage
    FROM ranked WHERE place = 1
)
SELECT facility, unit, period_start, period_end, stratum, 'max' AS statistic,
       beds AS numerator, available AS denominator,
       CASE WHEN seen_to IS NOT NULL THEN 100 * fullness END AS value, coverage
FROM peak
UNION ALL
SELECT facility, unit, period_start, period_end, stratum, 'peak_at', beds, available,
       CASE WHEN beds > 0 THEN epoch(from_at) END, coverage
FROM peak
