-- title = "Bed request to assignment"
-- question = "How long did it take until a requested bed was assigned?"
-- unit = "min"
-- shape = "amounts"
-- owes = "no_places"
-- supplied_by = "HL7 v2 pending moves (ADT^A14, A15) or FHIR encounters that are planned or have a location reserved"
-- grain = ["hour", "day", "week", "month", "all"]
-- by = ["hospital", "facility", "unit", "class"]
-- direction = "lower"
-- numerator = "first plan that names a bed (else arrival in one) minus the request"
-- denominator = "requests whose bed was assigned in the period, by the unit asked for"
-- exclusions = ["requests without a bed so far"]
-- strata = { first_request = "the same, from the first request where it was made again", cancelled = "requests that were cancelled, from the request to the cancel; not in the headline" }
-- statistics = { median = "half were faster", p90 = "nine in ten were faster", mean = "mean" }
-- source = "Bed management practice: bed-request workflow marks (2024)"
-- caveats = ["A request is a pending admission or transfer (A14, A15, FHIR planned). Asking again starts the clock again. Without a feed that states pending moves there are no rows."]
-- inputs = ["history.encounter", "history.encounter_plan", "history.stay"]
WITH placement AS (
    SELECT *, coalesce(least(assigned_at, occupied_at), assigned_at, occupied_at) AS given_at
    FROM kpi_part.placements(window_start, window_end, known_at)
)
SELECT encounter_id, facility, unit, class, given_at AS happened_at, NULL AS stratum,
       60 * kpi_part.hours(requested_at, given_at) AS amount
FROM placement WHERE given_at IS NOT NULL AND outcome <> 'cancelled'
UNION ALL
SELECT encounter_id, facility, unit, class, given_at, 'first_request',
       60 * kpi_part.hours(first_requested_at, given_at)
FROM placement
WHERE given_at IS NOT NULL AND outcome <> 'cancelled' AND first_requested_at < requested_at
UNION ALL
SELECT encounter_id, facility, unit, class, ended_at, 'cancelled',
       60 * kpi_part.hours(requested_at, ended_at)
FROM placement WHERE outcome = 'cancelled'
