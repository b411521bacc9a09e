-- title = "First-case on-time starts"
-- question = "How many first operations of the day began on time?"
-- unit = "%"
-- shape = "shares"
-- subject = "appointment"
-- owes = "no_places"
-- supplied_by = "HL7 v2 SIU messages or FHIR Appointments of operations, the units that are theatres, in [kpi] theatres, and their patients by ADT^A02, A09 and A10 or FHIR Encounter.location"
-- grain = ["day", "week", "month", "all"]
-- by = ["hospital", "facility", "unit"]
-- direction = "higher"
-- numerator = "first cases of a room and day whose patient was in the room no later than the planned start plus [kpi] first_case_grace_minutes"
-- denominator = "first cases of a room and day"
-- exclusions = ["days whose first case was cancelled: the next one is not promoted", "operations booked on the day itself"]
-- strata = {}
-- statistics = { share = "share of first cases", count = "first cases on time" }
-- source = "Theatre efficiency practice: a start is late from the first minute after the plan and the grace (2024)"
-- caveats = ["An early start is on time. A first case whose patient nobody has recorded in the room is unknown and lowers coverage. Theatres are set in [kpi] theatres."]
-- inputs = ["core.facility", "core.kpi_setting", "history.appointment", "history.encounter", "history.encounter_tracking", "history.stay"]
WITH planned AS (
    SELECT * FROM kpi_part.theatre_bookings(known_at)
    WHERE booked_at IS NULL OR booked_at < freeze_at
),
first_case AS (
    SELECT appointment_id, facility, unit, room, planned_on, patient_id AS patient, starts_at,
           status
    FROM planned
    QUALIFY row_number() OVER (PARTITION BY facility, unit, room, planned_on
                               ORDER BY starts_at, appointment_id) = 1
),
began AS (
    SELECT f.appointment_id, f.facility, f.unit, f.starts_at, min(c.in_at) AS in_at
    FROM first_case f
    LEFT JOIN kpi_part.theatre_cases(known_at) c
      ON c.facility = f.facility AND c.unit = f.unit AND c.patient = f.patient
     AND c.operated_on = f.planned_on
    WHERE f.status <> 'cancelled'
    GROUP BY f.appointment_id, f.facility, f.unit, f.room, f.planned_on, f.starts_at
)
SELECT appointment_id, facility, unit, NULL AS class, starts_at AS happened_at, NULL AS stratum,
       in_at <= starts_at
           + kpi_part.setting('first_case_grace_minutes')::DOUBLE * INTERVAL 1 MINUTE AS counted
FROM began
