-- title = "Missed appointments"
-- question = "How many outpatients did not come to their appointment?"
-- unit = "%"
-- shape = "shares"
-- subject = "appointment"
-- owes = "no_places"
-- supplied_by = "HL7 v2 SIU messages or FHIR Appointments"
-- grain = ["day", "week", "month", "all"]
-- by = ["hospital", "facility", "unit"]
-- direction = "lower"
-- numerator = "appointments with status noshow"
-- denominator = "appointments that were attended or missed, by their start"
-- exclusions = ["cancelled appointments", "operations"]
-- strata = { of_all_booked = "missed over all that were ever booked, cancelled ones included", late_cancel = "cancelled on the local day of the appointment, over all booked", child = "patients under 18 who were not brought; in the headline too" }
-- statistics = { share = "share of appointments", count = "appointments" }
-- source = "NHS England, Reducing did not attends in outpatient services (2023)"
-- caveats = ["England publishes missed over booked (7.6 % in 2021/22): compare with of_all_booked only. An appointment that is over and of which nobody said whether the patient came is unknown and lowers coverage."]
-- inputs = ["core.facility", "core.kpi_setting", "history.appointment", "history.patient"]
WITH booked AS (
    SELECT a.appointment_id, coalesce(a.facility, '') AS facility, a.unit,
           a.starts_at AS happened_at, a.status,
           CASE WHEN a.status = 'noshow' THEN true
                WHEN a.status IN ('arrived', 'checked-in', 'fulfilled') THEN false END AS missed,
           coalesce(timezone(z.zone, a.cancelled_at)::DATE = timezone(z.zone, a.starts_at)::DATE
                    AND a.status = 'cancelled', false) AS late_cancel,
           date_sub('year', p.birth_date, timezone(z.zone, a.starts_at)::DATE) < 18 AS child
    FROM history.appointment(known_at) a
    JOIN kpi_part.zones(known_at) z ON z.facility = coalesce(a.facility, '')
    LEFT JOIN history.patient(known_at) p ON p.patient_id = a.patient_id
    WHERE a.status NOT IN ('entered-in-error', 'proposed', 'pending', 'waitlist')
      AND NOT kpi_part.listed('theatres', a.unit)
)
SELECT appointment_id, facility, unit, NULL AS class, happened_at, NULL AS stratum,
       missed AS counted
FROM booked WHERE status <> 'cancelled'
UNION ALL
SELECT appointment_id, facility, unit, NULL, happened_at, 'child', missed
FROM booked WHERE status <> 'cancelled' AND child
UNION ALL
SELECT appointment_id, facility, unit, NULL, happened_at, 'of_all_booked', coalesce(missed, false)
FROM booked
UNION ALL
SELECT appointment_id, facility, unit, NULL, happened_at, 'late_cancel', late_cancel FROM booked
