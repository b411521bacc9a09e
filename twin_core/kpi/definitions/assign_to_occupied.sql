-- title = "Bed assignment to occupation"
-- question = "How long did an assigned bed wait for its patient?"
-- unit = "min"
-- shape = "amounts"
-- owes = "no_places"
-- supplied_by = "HL7 v2 pending moves (ADT^A14, A15) or FHIR encounters that are planned or have a location reserved"
-- grain = ["hour", "day", "week", "month", "all"]
-- by = ["hospital", "facility", "unit", "class"]
-- direction = "lower"
-- numerator = "arrival in the bed minus first plan that names a bed"
-- denominator = "requests whose patient arrived in the period, by the unit asked for"
-- exclusions = ["cancelled requests"]
-- strata = { late_charting = "arrivals recorded before the assignment: they count as 0 min in the headline" }
-- statistics = { median = "half were faster", p90 = "nine in ten were faster", mean = "mean" }
-- source = "Bed management practice: bed-request workflow marks (2024)"
-- caveats = ["When things happened (EVN-6), not when messages were sent. An arrival without an assignment of a bed before it is unknown and lowers coverage."]
-- inputs = ["history.encounter", "history.encounter_plan", "history.stay"]
WITH arrival AS (
    SELECT *, 60 * kpi_part.hours(assigned_at, occupied_at) AS minutes
    FROM kpi_part.placements(window_start, window_end, known_at) WHERE occupied_at IS NOT NULL
)
SELECT encounter_id, facility, unit, class, occupied_at AS happened_at, NULL AS stratum,
       kpi_part.not_negative(minutes) AS amount
FROM arrival
UNION ALL
SELECT encounter_id, facility, unit, class, occupied_at, 'late_charting', 0
FROM arrival WHERE minutes < 0
