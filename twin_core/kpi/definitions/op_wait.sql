-- title = "Outpatient wait on site"
-- question = "How long did outpatients wait beyond their appointment until they were seen?"
-- unit = "min"
-- shape = "amounts"
-- owes = "no_places"
-- supplied_by = "HL7 v2 SIU messages or FHIR Appointments, and the visits that they lead to"
-- grain = ["day", "week", "month", "all"]
-- by = ["hospital", "facility", "unit"]
-- direction = "lower"
-- numerator = "consultation started minus the later of appointment and arrival"
-- denominator = "attended appointments whose visit the twin knows, by the appointment"
-- exclusions = ["missed and cancelled appointments", "operations"]
-- strata = {}
-- statistics = { median = "half waited less", p90 = "nine in ten waited less", mean = "mean" }
-- source = "Local definition, common practice (2026)"
-- caveats = ["Who comes early does not wait before the appointment; who comes late waits from the arrival. Consultation is milestone seen_by_provider, else the first time the visit was in progress; being called before the appointment counts as 0."]
-- inputs = ["core.kpi_setting", "history.appointment", "history.encounter", "history.encounter_milestone", "history.encounter_status"]
WITH visit AS (
    SELECT coalesce(a.facility, '') AS facility, a.unit, a.starts_at, e.encounter_id,
           coalesce((SELECT min(s.from_at) FROM history.encounter_status(known_at) s
                     WHERE s.encounter_id = e.encounter_id AND s.status = 'arrived'),
                    e.admitted_at) AS arrived_at
    FROM history.appointment(known_at) a
    JOIN history.encounter(known_at) e ON e.encounter_id = a.encounter_id
    WHERE a.status IN ('booked', 'arrived', 'checked-in', 'fulfilled') AND e.class = 'AMB'
      AND coalesce(e.status, '') NOT IN ('planned', 'cancelled', 'entered-in-error')
      AND NOT kpi_part.listed('theatres', a.unit)
),
seen AS (
    SELECT v.*,
           coalesce((SELECT min(m."at") FROM history.encounter_milestone(known_at) m
                     WHERE m.encounter_id = v.encounter_id AND m.kind = 'seen_by_provider'),
                    (SELECT min(s.from_at) FROM history.encounter_status(known_at) s
                     WHERE s.encounter_id = v.encounter_id AND s.status = 'in-progress'
                       AND s.from_at >= v.arrived_at)) AS seen_at
    FROM visit v
)
SELECT encounter_id, facility, unit, NULL AS class, starts_at AS happened_at, NULL AS stratum,
       kpi_part.not_negative(60 * kpi_part.hours(greatest(starts_at, arrived_at), seen_at)) AS amount
FROM seen WHERE arrived_at IS NOT NULL
