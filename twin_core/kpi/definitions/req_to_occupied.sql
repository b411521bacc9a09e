-- title = "Bed request to occupation"
-- question = "How long did a patient wait from the bed request until lying in the bed?"
-- unit = "min"
-- shape = "amounts"
-- owes = "no_places"
-- target = "bed_request_target_minutes"
-- supplied_by = "HL7 v2 pending moves (ADT^A14, A15) or FHIR encounters that are planned or have a location reserved"
-- grain = ["hour", "day", "week", "month", "all"]
-- by = ["hospital", "facility", "unit", "class"]
-- direction = "lower"
-- numerator = "arrival in the bed minus the request"
-- denominator = "requests whose patient arrived in the period, by the unit asked for"
-- exclusions = ["cancelled requests"]
-- strata = { first_request = "the same, from the first request where it was made again" }
-- statistics = { median = "half were faster", p90 = "nine in ten were faster", mean = "mean", share_within = "share within the target of [kpi] bed_request_target_minutes, in %" }
-- source = "Local definition (2026)"
-- caveats = ["Not the sum of req_to_assign and assign_to_occupied: medians do not add up.", "An admission that was booked ahead (A14) waits from its booking: read the mean and the 90th percentile of a whole hospital with its units beside them, where such requests name no unit."]
-- inputs = ["history.encounter", "history.encounter_plan", "history.stay", "core.kpi_setting"]
WITH arrival AS (
    SELECT * FROM kpi_part.placements(window_start, window_end, known_at)
    WHERE occupied_at IS NOT NULL
)
SELECT encounter_id, facility, unit, class, occupied_at AS happened_at, NULL AS stratum,
       60 * kpi_part.hours(requested_at, occupied_at) AS amount
FROM arrival
UNION ALL
SELECT encounter_id, facility, unit, class, occupied_at, 'first_request',
       60 * kpi_part.hours(first_requested_at, occupied_at)
FROM arrival WHERE first_requested_at < requested_at
