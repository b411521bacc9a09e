-- The hospital at an instant, as table macros: t is the instant, known_at what was known when (NULL:
-- now). They answer for any instant of history from the stays themselves, so that yesterday's report
-- can be had again exactly as it was.
CREATE OR REPLACE MACRO twin.stays_as_known(t) AS TABLE
    FROM history.stay(t::TIMESTAMPTZ);

-- Patients per unit. Leave keeps the bed assigned, so who is on leave is in the census.
CREATE OR REPLACE MACRO twin.census_at(t, known_at := NULL) AS TABLE
    SELECT s.facility, s.unit, count(DISTINCT coalesce(s.patient_id, s.encounter_id)) AS patients,
           count(DISTINCT s.location_id) FILTER (WHERE s.bed IS NOT NULL) AS beds_taken,
           count(DISTINCT coalesce(s.patient_id, s.encounter_id))
               FILTER (WHERE e.status = 'onleave') AS on_leave
    FROM history.stay(known_at::TIMESTAMPTZ) s
    LEFT JOIN history.encounter_status(known_at::TIMESTAMPTZ) e
      ON e.encounter_id = s.encounter_id AND e.status = 'onleave'
     AND e.from_at <= t::TIMESTAMPTZ AND (e.to_at IS NULL OR e.to_at > t::TIMESTAMPTZ)
    WHERE s.from_at <= t::TIMESTAMPTZ AND (s.to_at IS NULL OR s.to_at > t::TIMESTAMPTZ)
    GROUP BY s.facility, s.unit;

-- Every bed, whoever lies in it, and what is said of it. A bed with two patients has two rows.
CREATE OR REPLACE MACRO twin.bed_board(t, known_at := NULL) AS TABLE
    SELECT l.facility, l.unit, l.room, l.bed, l.location_id, s.patient_id, s.encounter_id,
           s.from_at AS since_at, c.operational_status, c.staffed,
           p.encounter_id AS reserved_for, p.expected_at AS reserved_from_at,
           CASE WHEN s.stay_id IS NOT NULL THEN 'occupied'
                WHEN c.staffed IS FALSE OR c.operational_status = 'C' THEN 'closed'
                WHEN c.operational_status IN ('H', 'K', 'I') THEN 'not clean'
                WHEN p.encounter_id IS NOT NULL THEN 'reserved'
                ELSE 'free' END AS bed_status
    FROM history.location(known_at::TIMESTAMPTZ) l
    LEFT JOIN history.stay(known_at::TIMESTAMPTZ) s
      ON s.location_id = l.location_id
     AND s.from_at <= t::TIMESTAMPTZ AND (s.to_at IS NULL OR s.to_at > t::TIMESTAMPTZ)
    LEFT JOIN history.location_status(known_at::TIMESTAMPTZ) c
      ON c.location_id = l.location_id
     AND (c.from_at IS NULL OR c.from_at <= t::TIMESTAMPTZ)
     AND (c.to_at IS NULL OR c.to_at > t::TIMESTAMPTZ)
    LEFT JOIN history.encounter_plan(known_at::TIMESTAMPTZ) p
      ON p.location_id = l.location_id AND p.kind IN ('admission', 'transfer')
     AND p.stated_at <= t::TIMESTAMPTZ AND (p.ended_at IS NULL OR p.ended_at > t::TIMESTAMPTZ)
    WHERE l.kind = 'bd';

-- Patients per unit at every full hour (of UTC) of a window. Stays are counted where they begin and
-- end and summed over time, so that the work grows with stays and hours, never with their product.
-- Hours are numbered since 1970: numbers are grouped faster than instants.
CREATE OR REPLACE MACRO twin.hourly_census(window_start, window_end, known_at := NULL) AS TABLE
    WITH edge AS (
        SELECT (epoch_us(window_start::TIMESTAMPTZ) + 3599999999) // 3600000000 AS first_hour,
               (epoch_us(window_end::TIMESTAMPTZ) + 3599999999) // 3600000000 AS end_hour
    ),
    present AS (
        -- Who comes at half past eight is first counted at nine; who leaves then, last at eight.
        SELECT s.facility, s.unit,
               greatest((epoch_us(s.from_at) + 3599999999) // 3600000000, e.first_hour) AS from_hour,
               coalesce((epoch_us(s.to_at) + 3599999999) // 3600000000, e.end_hour) AS to_hour
        FROM history.stay(known_at::TIMESTAMPTZ) s, edge e
        WHERE s.from_at < window_end::TIMESTAMPTZ
          AND (s.to_at IS NULL OR s.to_at > window_start::TIMESTAMPTZ)
    ),
    change AS (
        SELECT facility, unit, from_hour AS hour, count(*) AS patients
        FROM present, edge WHERE to_hour > from_hour AND from_hour < end_hour GROUP BY ALL
        UNION ALL
        SELECT facility, unit, to_hour, -count(*)
        FROM present, edge WHERE to_hour > from_hour AND to_hour < end_hour GROUP BY ALL
        UNION ALL
        SELECT facility, unit, unnest(range(first_hour, end_hour)), 0
        FROM (SELECT DISTINCT facility, unit FROM present), edge
    ),
    summed AS (
        SELECT facility, unit, hour, sum(patients)::BIGINT AS patients FROM change GROUP BY ALL
    )
    SELECT facility, unit, make_timestamptz(hour * 3600000000) AS hour_start,
           sum(patients) OVER (PARTITION BY facility, unit ORDER BY hour)::BIGINT AS patients
    FROM summed WHERE hour >= (SELECT first_hour FROM edge);
