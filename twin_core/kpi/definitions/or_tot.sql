-- title = "Theatre turnover time"
-- question = "How long was a theatre empty between two operations?"
-- unit = "min"
-- shape = "amounts"
-- owes = "no_places"
-- supplied_by = "The units that are theatres, in [kpi] theatres, and their patients by ADT^A02, A09 and A10 or FHIR Encounter.location"
-- grain = ["day", "week", "month", "all"]
-- by = ["hospital", "facility", "unit"]
-- direction = "lower"
-- numerator = "next patient in the room minus the patient before out of it"
-- denominator = "gaps between consecutive cases of one room and local day, by the time of the next case"
-- exclusions = ["gaps longer than [kpi] turnover_cap_minutes: nothing was planned there", "overlapping cases"]
-- strata = {}
-- statistics = { median = "half were shorter", p90 = "nine in ten were shorter", mean = "mean" }
-- source = "AACD Glossary of Times Used for Scheduling and Monitoring of Diagnostic and Therapeutic Procedures (1997)"
-- caveats = ["The cap, 90 minutes unless set, cuts off lunch and unused time: a figure without its cap says nothing. Theatres are set in [kpi] theatres."]
-- inputs = ["core.facility", "core.kpi_setting", "history.encounter", "history.encounter_tracking", "history.stay"]
WITH following AS (
    SELECT encounter_id, facility, unit, in_at,
           60 * kpi_part.hours(lag(out_at) OVER list, in_at) AS gap
    FROM kpi_part.theatre_cases(known_at)
    WINDOW list AS (PARTITION BY facility, unit, room, operated_on ORDER BY in_at, encounter_id)
)
SELECT encounter_id, facility, unit, NULL AS class, in_at AS happened_at, NULL AS stratum,
       gap AS amount
FROM following
WHERE gap BETWEEN 0 AND kpi_part.setting('turnover_cap_minutes')::DOUBLE
