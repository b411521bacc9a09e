-- title = "Ambulance arrival to offload"
-- question = "How long did ambulance crews wait until they had handed their patient over?"
-- unit = "min"
-- shape = "amounts"
-- owes = "no_places"
-- supplied_by = "A FHIR ServiceRequest, Task or Procedure whose code [fhir] milestones or completions names ambulance_arrived and ambulance_handover"
-- grain = ["hour", "day", "week", "month", "all"]
-- by = ["hospital", "facility", "unit"]
-- direction = "lower (p90 at most 15)"
-- numerator = "handover minus arrival of the ambulance"
-- denominator = "ED visits that came by ambulance, by the time the ambulance arrived"
-- exclusions = ["visits without a recorded arrival of an ambulance"]
-- strata = {}
-- statistics = { p90 = "nine in ten were faster", median = "half were faster", mean = "mean" }
-- source = "Emergency Medicine International 2012, 838610 (2012)"
-- caveats = ["The ambulance's clock and the hospital's are two clocks: a feed that is known to run ahead must be corrected before its times are compared. Handovers recorded before the arrival count as 0. Without a feed that states milestones ambulance_arrived and ambulance_handover there are no rows."]
-- inputs = ["history.encounter", "history.encounter_class", "history.encounter_milestone", "history.stay", "core.kpi_setting"]
SELECT encounter_id, facility, unit, NULL AS class, ambulance_at AS happened_at, NULL AS stratum,
       kpi_part.not_negative(60 * kpi_part.hours(ambulance_at, handover_at)) AS amount
FROM kpi_part.ed_visits(window_start, window_end, known_at)
WHERE ambulance_at IS NOT NULL
