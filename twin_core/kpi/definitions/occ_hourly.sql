-- title = "Hourly (time-weighted) occupancy"
-- question = "How full were the beds, counting every minute rather than one instant a day?"
-- unit = "%"
-- supplied_by = "FHIR Locations of beds (and HL7 v2 ADT^A20), which say which beds are open and staffed"
-- grain = ["hour", "day", "week", "month", "all"]
-- by = ["hospital", "facility", "unit", "class"]
-- direction = "target band"
-- numerator = "bed-hours with a patient in the bed"
-- denominator = "bed-hours open and staffed, neither closed (C) nor contaminated (K)"
-- exclusions = ["beds held for patients on leave (stratum on_leave)", "patients without a bed", "cancelled encounters"]
-- strata = { on_leave = "beds held for patients on leave", conflict = "beds with two or more patients, already counted once in the headline" }
-- statistics = { ratio = "occupied over available bed-hours" }
-- source = "Time-weighted form of NHS England KH03, Bed Availability and Occupancy (read 2026)"
-- caveats = [
--     "Durations are elapsed UTC time: a day with a clock change has 23 or 25 hours.",
--     "Occupied beds count only where the unit has some bed with known staffing; where none has, the denominator is NULL and the numerator is all occupied bed-hours.",
--     "A closed bed with a patient counts in the numerator only, so escalation shows as more than 100 %.",
--     "By class, the denominator is every available bed, and the class conflict holds beds with two patients.",
-- ]
-- inputs = ["history.stay", "history.encounter", "history.encounter_class", "history.encounter_status", "history.location", "history.location_status"]
SELECT facility, unit, period_start, period_end, stratum, 'ratio' AS statistic,
       occupied_hours AS numerator, available_hours AS denominator,
       100 * kpi_part.ratio(occupied_hours, available_hours) AS value, coverage
FROM kpi_part.bed_time(window_start, window_end, grain, "by", known_at, true)
WHERE headline OR occupied_hours > 0
