-- title = "Door to provider"
-- question = "How long after arrival did a provider first see the patient?"
-- unit = "min"
-- shape = "amounts"
-- owes = "ed_places"
-- supplied_by = "A FHIR ServiceRequest, Task or Procedure whose code [fhir] milestones or completions names seen_by_provider"
-- grain = ["hour", "day", "week", "month", "all"]
-- by = ["hospital", "facility", "unit"]
-- direction = "lower"
-- numerator = "first contact with a provider minus arrival"
-- denominator = "ED visits, by the time of arrival"
-- exclusions = ["visits that ended before a provider saw the patient", "visits in which nobody has been seen yet"]
-- strata = { before_arrival = "visits whose first contact is recorded before the arrival: they count as 0 min in the headline" }
-- statistics = { median = "half waited less", p90 = "nine in ten waited less", mean = "mean" }
-- source = "Emergency Department Benchmarking Alliance, time marks (2026)"
-- caveats = ["A triage nurse is no provider. The contact is milestone seen_by_provider; a finished visit without one is unknown and lowers coverage."]
-- inputs = ["history.encounter", "history.encounter_class", "history.encounter_milestone", "history.stay", "core.kpi_setting"]
WITH visit AS (
    SELECT encounter_id, facility, unit, arrived_at,
           60 * kpi_part.hours(arrived_at, seen_at) AS minutes
    FROM kpi_part.ed_visits(window_start, window_end, known_at)
    WHERE outcome <> 'left_unseen' AND (seen_at IS NOT NULL OR departed_at IS NOT NULL)
)
SELECT encounter_id, facility, unit, NULL AS class, arrived_at AS happened_at, NULL AS stratum,
       kpi_part.not_negative(minutes) AS amount
FROM visit
UNION ALL
SELECT encounter_id, facility, unit, NULL, arrived_at, 'before_arrival', 0
FROM visit WHERE minutes < 0
