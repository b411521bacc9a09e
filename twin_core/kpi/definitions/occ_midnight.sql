-- title = "Bed occupancy at midnight census"
-- question = "What share of the open and staffed beds was occupied overnight?"
-- unit = "%"
-- supplied_by = "FHIR Locations of beds (and HL7 v2 ADT^A20), which say which beds are open and staffed"
-- grain = ["hour", "day", "week", "month", "all"]
-- by = ["hospital", "facility", "unit", "class"]
-- direction = "target band (85-92)"
-- numerator = "occupied beds at local 00:00, summed over the midnights of the period"
-- denominator = "open and staffed beds at local 00:00, summed over the same midnights"
-- exclusions = ["beds held for patients on leave (stratum on_leave)", "closed (C) and contaminated (K) beds"]
-- strata = { on_leave = "beds held for patients on leave", conflict = "beds with two or more patients, already counted once in the headline" }
-- statistics = { ratio = "occupied over available bed-days" }
-- source = "NHS England KH03, Beds open overnight (read 2026)"
-- caveats = [
--     "The midnight of a day is the one it begins with; every local day has exactly one, clock changes or not. Periods without a midnight have no row.",
--     "A patient who leaves at 00:00 sharp is gone, one who arrives then is there.",
--     "Well-baby cots and day-case beds are told apart only where they are kept in units of their own.",
-- ]
-- inputs = ["history.stay", "history.encounter", "history.encounter_class", "history.encounter_status", "history.location", "history.location_status", "core.facility"]
WITH at_midnight AS (
    SELECT s.facility, s.unit, s.stratum, s.headline, s.period_start, s.period_end,
           count(*) AS midnights, count(*) FILTER (WHERE m.seen) AS seen,
           sum(s.occupied) FILTER (WHERE m.seen) AS occupied,
           sum(s.counted) FILTER (WHERE m.seen) AS counted,
           sum(s.staffing_known) FILTER (WHERE m.seen) AS staffing_known,
           sum(s.available) FILTER (WHERE m.seen) AS available,
           count(s.available) FILTER (WHERE m.seen) AS capacity_seen
    FROM kpi_part.midnights(window_start, window_end, grain, "by", known_at) m
    JOIN kpi_part.bed_steps(window_start, window_end, grain, "by", known_at, true) s
      ON s.in_facility = m.facility AND s.period_start = m.period_start
     AND s.from_at <= m.midnight AND (s.to_at > m.midnight OR NOT m.seen)
    GROUP BY ALL
),
settled AS (
    SELECT *, CASE WHEN available IS NULL THEN occupied ELSE counted END AS occupied_beds
    FROM at_midnight
)
SELECT facility, unit, period_start, period_end, stratum, 'ratio' AS statistic,
       occupied_beds AS numerator, available AS denominator,
       100 * kpi_part.ratio(occupied_beds, available) AS value,
       seen / midnights * CASE WHEN occupied > 0 THEN staffing_known / occupied
                               ELSE coalesce(kpi_part.ratio(capacity_seen, seen), 0) END AS coverage
FROM settled WHERE headline OR occupied_beds > 0
