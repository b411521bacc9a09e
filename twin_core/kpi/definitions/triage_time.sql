-- title = "Arrival to triage"
-- question = "How long after arrival did triage begin?"
-- unit = "min"
-- shape = "amounts"
-- owes = "ed_places"
-- supplied_by = "FHIR Encounter.statusHistory with triaged, or a FHIR ServiceRequest, Task or Procedure whose code [fhir] milestones or completions names triaged"
-- grain = ["hour", "day", "week", "month", "all"]
-- by = ["hospital", "facility", "unit"]
-- direction = "lower"
-- numerator = "start of triage minus arrival"
-- denominator = "ED visits, by the time of arrival"
-- exclusions = ["visits that are open and not triaged yet"]
-- strata = {}
-- statistics = { median = "half waited less", p90 = "nine in ten waited less", mean = "mean" }
-- source = "Emergency Medicine International 2012, 838610 (2012)"
-- caveats = ["More than 5 minutes is one of that consensus' marks of a crowded department. A finished visit without milestone triaged is unknown and lowers coverage; triage before the arrival was registered counts as 0."]
-- inputs = ["history.encounter", "history.encounter_class", "history.encounter_milestone", "history.stay", "core.kpi_setting"]
SELECT encounter_id, facility, unit, NULL AS class, arrived_at AS happened_at, NULL AS stratum,
       kpi_part.not_negative(60 * kpi_part.hours(arrived_at, triaged_at)) AS amount
FROM kpi_part.ed_visits(window_start, window_end, known_at)
WHERE triaged_at IS NOT NULL OR departed_at IS NOT NULL
