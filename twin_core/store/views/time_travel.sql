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
-- Hours are numbered since 1970, and every unit's hours follow those of the unit before: one number
-- is grouped and sorted faster than names and instants. Whoever is still there leaves at the end of
-- the window, so that each unit's changes add up to nothing and one sum runs over all of them.
CREATE OR REPLACE MACRO twin.hourly_census(window_start, window_end, known_at := NULL) AS TABLE
    WITH edge AS (
        SELECT (epoch_us(window_start::TIMESTAMPTZ) + 3599999999) // 3600000000 AS first_hour,
               (epoch_us(window_end::TIMESTAMPTZ) + 3599999999) // 3600000000 AS end_hour
    ),
    -- Who comes at half past eight is first counted at nine; who leaves then, last at eight.
    came AS (
        SELECT facility, unit, (epoch_us(greatest(from_at, window_start::TIMESTAMPTZ))
                   + 3599999999) // 3600000000 AS hour, count(*) AS patients
        FROM history.stay(known_at::TIMESTAMPTZ)
        WHERE from_at < window_end::TIMESTAMPTZ
          AND (to_at IS NULL OR to_at > window_start::TIMESTAMPTZ)
        GROUP BY ALL
    ),
    gone AS (
        -- A stay that ends before it begins is nobody's: it ends where it begins.
        SELECT facility, unit, (epoch_us(least(greatest(from_at, window_start::TIMESTAMPTZ,
                   coalesce(to_at, window_end::TIMESTAMPTZ)), window_end::TIMESTAMPTZ))
                   + 3599999999) // 3600000000 AS hour, -count(*) AS patients
        FROM history.stay(known_at::TIMESTAMPTZ)
        WHERE from_at < window_end::TIMESTAMPTZ
          AND (to_at IS NULL OR to_at > window_start::TIMESTAMPTZ)
        GROUP BY ALL
    ),
    -- Units are looked up by 64 bits of their names, not by the names, which would cost as much as all
    -- the rest. Ten thousand units share a number by chance once in 10^11 hospitals.
    place AS (
        SELECT facility, unit, hash(facility, unit) AS place_key,
               (row_number() OVER () - 1) * (end_hour - first_hour + 1) AS first_slot
        FROM (SELECT DISTINCT facility, unit FROM came), edge
    ),
    change AS (
        SELECT p.first_slot + c.hour - e.first_hour AS slot, c.patients
        FROM (FROM came UNION ALL FROM gone) c
        JOIN place p ON p.place_key = hash(c.facility, c.unit), edge e
        UNION ALL
        SELECT first_slot + unnest(range(0, end_hour - first_hour)), 0 FROM place, edge
    ),
    summed AS (SELECT slot, sum(patients)::BIGINT AS patients FROM change GROUP BY slot),
    counted AS (SELECT slot, sum(patients) OVER (ORDER BY slot) AS patients FROM summed)
    SELECT p.facility, p.unit,
           make_timestamptz((c.slot - p.first_slot + e.first_hour) * 3600000000) AS hour_start,
           c.patients::BIGINT AS patients
    FROM edge e, counted c
    JOIN place p ON p.first_slot = c.slot - c.slot % (e.end_hour - e.first_hour + 1)
    WHERE c.slot - p.first_slot < e.end_hour - e.first_hour;
