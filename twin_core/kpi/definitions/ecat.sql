-- title = "Emergency care access and timeliness (CMS1244)"
-- question = "How many emergency visits met at least one of the four failures of access?"
-- unit = "%"
-- shape = "shares"
-- owes = "ed_places"
-- grain = ["hour", "day", "week", "month", "all"]
-- by = ["hospital", "facility", "unit"]
-- direction = "lower"
-- numerator = "ED visits with any of: 61 min or more from arrival to a treatment room; left without being evaluated; boarded for 241 min or more; 481 min or more in the ED"
-- denominator = "ED visits, by the time of departure"
-- exclusions = ["visits that are still open"]
-- strata = { over_60_to_room = "first criterion", left_unseen = "second criterion", boarded_over_240 = "third criterion", over_480_in_ed = "fourth criterion", child = "under 18, no psychiatric service, any criterion; in the headline too", adult = "18 and over, no psychiatric service, any criterion; in the headline too", child_mental_health = "under 18, psychiatric service, any criterion; in the headline too", adult_mental_health = "18 and over, psychiatric service, any criterion; in the headline too" }
-- statistics = { share = "share of visits", count = "visits" }
-- source = "CMS1244v1, Emergency Care Access and Timeliness (2025)"
-- caveats = [
--     "Observation patients are excluded from the third and fourth criteria. Boarding is counted for admitted and transferred patients, to the physical departure, from the decision, from the bed request or from becoming an inpatient in the ED, whichever came first.",
--     "Of several decisions in one visit the last counts, and of several bed requests the last, as in the published logic (version 1.1.000: Last of each kind of order during the ED visit, any of them 241 minutes or more before the departure). One that was recorded before the arrival or after the departure does not count. The other KPIs of boarding begin with the first decision.",
--     "More than 60, 240 and 480 minutes are whole minutes, as in the published logic (version 0.4.001): 61, 241 and 481 or more, so that 60 min 30 s are within.",
--     "The measure tells mental health by the principal diagnosis, which no feed gives here: the hospital service stands for it. Ages are those at the arrival.",
--     "A criterion whose times are not recorded does not count as met: a visit without a treatment room, a decision or a departure can fail by the other criteria only.",
--     "Voluntary for 2027, mandatory for 2028.",
-- ]
-- inputs = ["history.encounter", "history.encounter_class", "history.encounter_milestone", "history.stay", "core.kpi_setting", "history.patient"]
WITH visit AS (
    SELECT v.encounter_id, v.facility, v.unit, v.departed_at AS happened_at, v.psychiatric,
           date_sub('year', p.birth_date, timezone(z.zone, v.arrived_at)::DATE) AS age,
           coalesce(kpi_part.lasted(v.arrived_at, v.roomed_at, 61), false) AS over_60_to_room,
           v.outcome = 'left_unseen' AS left_unseen,
           coalesce(NOT v.observed AND v.outcome IN ('admitted', 'transferred')
               AND kpi_part.lasted(least(v.redecided_at, v.rerequested_at, v.inpatient_at),
                                   v.departed_at, 241), false) AS boarded_over_240,
           coalesce(NOT v.observed AND kpi_part.lasted(v.arrived_at, v.departed_at, 481), false)
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
        {'stratum': CASE WHEN age < 18 THEN 'child' WHEN age >= 18 THEN 'adult' ELSE '-' END
                    || CASE WHEN psychiatric AND age >= 0 THEN '_mental_health' ELSE '' END,
         'counted': failed}
    ]) AS row
    FROM judged
)
SELECT encounter_id, facility, unit, NULL AS class, happened_at, row.stratum AS stratum,
       row.counted AS counted
FROM shown WHERE row.stratum IS DISTINCT FROM '-'
