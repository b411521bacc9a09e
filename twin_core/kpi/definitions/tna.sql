-- title = "Third next available appointment"
-- question = "In how many days is the third free appointment?"
-- unit = "days"
-- shape = "amounts"
-- subject = "schedule"
-- owes = "no_places"
-- supplied_by = "FHIR Schedule and Slot, or SIU messages that block and open slots (S23, S24) of a person's schedule"
-- grain = ["day", "week", "month", "all"]
-- by = ["hospital", "facility", "unit"]
-- direction = "lower"
-- numerator = "days from the day of the question to that of the third open slot of a type"
-- denominator = "clinicians and types of appointment with slots to come, once a day"
-- exclusions = ["held and frozen slots", "schedules of rooms and equipment"]
-- strata = {}
-- statistics = { mean = "mean over clinicians", median = "half have one sooner" }
-- source = "Institute for Healthcare Improvement, third next available appointment (2024)"
-- caveats = [
--     "Calendar days, asked at the start of each local day of what was known then; on the first day of which slots are known, when they became known.",
--     "With fewer than three free slots to come the figure is more than the days that are open to booking: unknown, and lowers coverage.",
-- ]
-- inputs = ["core.slot_version", "history.location", "history.schedule"]
WITH offered AS (
    SELECT coalesce(l.facility, '') AS facility, l.unit, s.schedule_id, s.performer AS clinician,
           coalesce(v.code, s.code, '') AS service, v.status, v.starts_at, v.known_from, v.known_to,
           coalesce(z.zone, w.zone) AS zone
    FROM core.slot_version v
    JOIN history.schedule(known_at) s ON s.schedule_id = v.schedule_id
    LEFT JOIN history.location(known_at) l ON l.location_id = s.location_id
    LEFT JOIN kpi_part.zones(known_at) z ON z.facility = coalesce(l.facility, '')
    JOIN kpi_part.zones(known_at) w ON w.facility = '*'
    WHERE s.performer IS NOT NULL
),
day AS (
    SELECT zone, starts_at AS begins,
           lead(starts_at) OVER (PARTITION BY zone ORDER BY starts_at) AS ends
    FROM kpi_part.boundaries(window_start, window_end, 'day', "by", known_at)
),
question AS (
    SELECT d.zone, greatest(d.begins, h.first_at) AS asked_at
    FROM day d, (SELECT min(known_from) AS first_at FROM core.slot_version) h
    WHERE h.first_at < d.ends
)
SELECT min(o.schedule_id) AS schedule_id, o.facility, o.unit, NULL AS class,
       q.asked_at AS happened_at, NULL AS stratum,
       date_diff('day', timezone(q.zone, q.asked_at)::DATE,
                 timezone(q.zone, list_sort(list(o.starts_at)
                                            FILTER (WHERE o.status = 'free'))[3])::DATE) AS amount
FROM question q
JOIN offered o ON o.zone = q.zone AND o.known_from <= q.asked_at AND o.known_to > q.asked_at
 AND o.starts_at >= q.asked_at
GROUP BY o.facility, o.unit, q.zone, q.asked_at, o.clinician, o.service
