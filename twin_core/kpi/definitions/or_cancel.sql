-- title = "Same-day surgical cancellation"
-- question = "How many operations were cancelled on the day they were planned for?"
-- unit = "%"
-- shape = "shares"
-- subject = "appointment"
-- owes = "no_places"
-- supplied_by = "HL7 v2 SIU messages or FHIR Appointments of operations, and the units that are theatres, in [kpi] theatres"
-- grain = ["day", "week", "month", "all"]
-- by = ["hospital", "facility", "unit"]
-- direction = "lower"
-- numerator = "operations cancelled after the local midnight at which their day began"
-- denominator = "operations on the list at that midnight"
-- exclusions = ["operations added on the day", "operations moved to another time of the day"]
-- strata = {}
-- statistics = { share = "share of the operations", count = "cancelled operations" }
-- source = "Local definition (2026)"
-- caveats = ["The list is fixed at local midnight. An operation moved to another day before it began is on that day's list. Theatres are set in [kpi] theatres; without a feed of appointments there are no rows."]
-- inputs = ["core.facility", "core.kpi_setting", "history.appointment"]
SELECT appointment_id, facility, unit, NULL AS class, starts_at AS happened_at, NULL AS stratum,
       status = 'cancelled' AS counted
FROM kpi_part.theatre_bookings(known_at)
WHERE (booked_at IS NULL OR booked_at < freeze_at)
  AND (cancelled_at IS NULL OR cancelled_at >= freeze_at)
