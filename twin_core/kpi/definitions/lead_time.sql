-- title = "Appointment lead time"
-- question = "How long before their appointment do patients book it?"
-- unit = "days"
-- shape = "amounts"
-- subject = "appointment"
-- owes = "no_places"
-- supplied_by = "HL7 v2 SIU messages or FHIR Appointments"
-- grain = ["day", "week", "month", "all"]
-- by = ["hospital", "facility", "unit"]
-- direction = "lower"
-- numerator = "start of the appointment minus the instant of its first booking"
-- denominator = "appointments, by their start"
-- exclusions = ["cancelled appointments", "operations"]
-- strata = {}
-- statistics = { median = "half were shorter", p90 = "nine in ten were shorter", mean = "mean" }
-- source = "American Journal of Managed Care, appointment lead times (2013)"
-- caveats = ["A rescheduled appointment keeps the instant of its first booking. One whose booking the twin never heard of is unknown and lowers coverage."]
-- inputs = ["core.kpi_setting", "history.appointment"]
SELECT appointment_id, coalesce(facility, '') AS facility, unit, NULL AS class,
       starts_at AS happened_at, NULL AS stratum,
       kpi_part.not_negative(kpi_part.hours(booked_at, starts_at) / 24) AS amount
FROM history.appointment(known_at)
WHERE status NOT IN ('cancelled', 'entered-in-error', 'proposed', 'pending', 'waitlist')
  AND NOT kpi_part.listed('theatres', unit)
