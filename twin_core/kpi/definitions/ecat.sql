-- title = "Emergency care access and timeliness (CMS1244)"
-- question = "How many emergency visits met at least one of the four failures of access?"
-- unit = "%"
-- shape = "shares"
-- owes = "ed_places"
-- grain = ["hour", "day", "week", "month", "all"]
-- by = ["hospital", "facility", "unit"]
-- direction = "lower"
-- numerator = "ED visits with any of: more than 60 min from arrival to a treatment room; left without being evaluated; boarded for more than 240 min; more than 480 min in the ED"
-- denominator = "ED visits, by the time of departure"
-- exclusions = ["visits that are still open"]
-- strata = { over_60_to_room = "first criterion", left_unseen = "second criterion", boarded_over_240 = "third criterion", over_480_in_ed = "fourth criterion", child = "patients under 18, any criterion; in the headline too", adult = "patients of 18 and over, any criterion; in the headline too", mental_health = "patients of a psychiatric service, any criterion; in the headline too" }
-- statistics = { share = "share of visits", count = "visits" }
-- source = "CMS1244v1, Emergency Care Access and Timeliness (2025)"
-- caveats = [
--     "Observation patients are excluded from the third and fourth criteria. Boarding is counted for admitted and transferred patients, from the decision (else the bed request) to the physical departure.",
--     "A criterion whose times are not recorded does not count as met: a visit without a treatment room, a decision or a departure can fail by the other criteria only.",
--     "Voluntary for 2027, mandatory for 2028.",
-- ]
-- inputs = ["history.encounter", "history.encounter_class", "history.encounter_milestone", "history.stay", "core.kpi_setting", "history.patient"]
WITH visit AS (
    SELECT v.encounter_id, v.facility, v.unit, v.departed_at AS happened_at, v.psychiatric,
           date_sub('year', p.birth_date, timezone(z.zone, v.arrived_at)::DATE) AS age,
           coalesce(v.roomed_at - v.arrived_at > INTERVAL 60 MINUTE, false) AS over_60_to_room,
           v.outcome = 'left_unseen' AS left_unseen,
           coalesce(NOT v.observed AND v.outcome IN ('admitted', 'transferred')
               AND v.departed_at - v.decided_at > INTERVAL 240 MINUTE, false) AS boarded_over_240,
           coalesce(NOT v.observed AND v.departed_at - v.arrived_at > INTERVAL 480 MINUTE, false)
               AS over_480_in_ed
    FROM kpi_part.ed_visits(window_start, window_end, known_at) v
    JOIN kpi_part.zones(known_at) z ON z.facility = v.facility
    LEFT JOIN history.patient(known_at) p ON p.patient_id = v.patient
    WHERE v.departed_at IS NOT NULL
),
judged AS (
    SELECT *, over_60_to_room OR left_unseen OR boarded_over_240 OR over_480_in_ed AS failed
    FROM visit
),
shown AS (
    SELECT encounter_id, facility, unit, happened_at, unnest([
        {'stratum': NULL, 'counted': failed},
        {'stratum': 'over_60_to_room', 'counted': over_60_to_room},
        {'stratum': 'left_unseen', 'counted': left_unseen},
        {'stratum': 'boarded_over_240', 'counted': boarded_over_240},
        {'stratum': 'over_480_in_ed', 'counted': over_480_in_ed},
        {'stratum': CASE WHEN age < 18 THEN 'child' WHEN age >= 18 THEN 'adult' ELSE '-' END,
         'counted': failed},
        {'stratum': CASE WHEN psychiatric THEN 'mental_health' ELSE '-' END, 'counted': failed}
    ]) AS row
    FROM judged
)
SELECT encounter_id, facility, unit, NULL AS class, happened_at, row.stratum AS stratum,
       row.counted AS counted
FROM shown WHERE row.stratum IS DISTINCT FROM '-'
