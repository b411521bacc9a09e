"""The stays that `kpi_postgres.py` makes, and what it asks of them: of a store, of PostgreSQL."""

UNITS, YEARS = 40, 5
START = "2021-01-01 00:00:00+00"
# Instants are counted in microseconds since 1970, as the KPIs do: to add an interval to an instant,
# or to find its month, asks the time zone anew for every row.
PAIRS = {  # What is asked: of the store, and of PostgreSQL.
    "hourly census per unit": (
        "SELECT unit, hour_start, patients"
        f" FROM twin.hourly_census('{START}', '2026-01-01 00:00:00+00')",
        f"""
        WITH edge AS (SELECT timestamptz '{START}' AS first_at,
                             timestamptz '2026-01-01 00:00:00+00' AS end_at),
        present AS (
            SELECT unit, greatest(date_trunc('hour', from_at - interval '1 microsecond')
                       + interval '1 hour', first_at) AS counted_from,
                   date_trunc('hour', to_at - interval '1 microsecond') + interval '1 hour'
                       AS counted_to
            FROM stay, edge WHERE from_at < end_at AND (to_at IS NULL OR to_at > first_at)),
        change AS (
            SELECT unit, counted_from AS at, count(*) AS patients FROM present, edge
            WHERE counted_from < end_at GROUP BY 1, 2
            UNION ALL
            SELECT unit, counted_to, -count(*) FROM present, edge WHERE counted_to < end_at
            GROUP BY 1, 2
            UNION ALL
            SELECT p.unit, h, 0 FROM (SELECT DISTINCT unit FROM present) p, edge,
                generate_series(first_at, end_at - interval '1 microsecond', interval '1 hour') h),
        summed AS (SELECT unit, at, sum(patients) AS patients FROM change GROUP BY 1, 2)
        SELECT unit, at AS hour_start,
               sum(patients) OVER (PARTITION BY unit ORDER BY at)::bigint AS patients FROM summed
        """,
    ),
    "average length of stay by unit and month": (
        """
        WITH last_stay AS (
            SELECT encounter_id, arg_max(unit, from_at) AS unit FROM history.stay(NULL)
            GROUP BY encounter_id)
        SELECT s.unit, date_trunc('month', make_timestamp(epoch_us(e.discharged_at))) AS month,
               count(*) AS discharges,
               (sum(epoch_us(e.discharged_at) - epoch_us(e.admitted_at)) // 1000000)::BIGINT
                   AS seconds
        FROM history.encounter(NULL) e JOIN last_stay s ON s.encounter_id = e.encounter_id
        WHERE e.class = 'IMP' AND e.discharged_at IS NOT NULL GROUP BY ALL
        """,
        """
        WITH last_stay AS (
            SELECT DISTINCT ON (encounter_id) encounter_id, unit FROM stay
            ORDER BY encounter_id, from_at DESC)
        SELECT s.unit, date_trunc('month', e.discharged_at) AS month, count(*) AS discharges,
               sum(extract(epoch FROM e.discharged_at) - extract(epoch FROM e.admitted_at))::bigint
                   AS seconds
        FROM encounter e JOIN last_stay s ON s.encounter_id = e.encounter_id
        WHERE e.class = 'IMP' AND e.discharged_at IS NOT NULL GROUP BY 1, 2
        """,
    ),
    "30-day readmission by month": (
        """
        WITH visit AS (
            SELECT epoch_us(discharged_at) AS left_us, epoch_us(lead(admitted_at) OVER (
                       PARTITION BY patient_id ORDER BY admitted_at, encounter_id)) AS next_us
            FROM history.encounter(NULL) WHERE class = 'IMP')
        SELECT date_trunc('month', make_timestamp(left_us)) AS month, count(*) AS discharges,
               count(*) FILTER (WHERE next_us - left_us BETWEEN 1 AND 2592000000000) AS readmitted
        FROM visit WHERE left_us IS NOT NULL GROUP BY ALL
        """,
        """
        WITH visit AS (
            SELECT discharged_at, lead(admitted_at) OVER (
                       PARTITION BY patient_id ORDER BY admitted_at, encounter_id) AS next_at
            FROM encounter WHERE class = 'IMP')
        SELECT date_trunc('month', discharged_at) AS month, count(*) AS discharges,
               count(*) FILTER (WHERE next_at > discharged_at
                   AND next_at <= discharged_at + interval '30 days') AS readmitted
        FROM visit WHERE discharged_at IS NOT NULL GROUP BY 1
        """,
    ),
    "ED boarding by month, median and p90": (
        """
        WITH left_ed AS (
            SELECT encounter_id, max(to_at) AS left_at FROM history.stay(NULL)
            WHERE unit = 'ED' GROUP BY encounter_id)
        SELECT date_trunc('month', make_timestamp(epoch_us(l.left_at))) AS month,
               count(*) AS boarders,
               (quantile_cont(epoch_us(l.left_at) - epoch_us(m."at"), 0.5) / 1000000)::BIGINT
                   AS median,
               (quantile_cont(epoch_us(l.left_at) - epoch_us(m."at"), 0.9) / 1000000)::BIGINT
                   AS p90
        FROM left_ed l JOIN history.encounter_milestone(NULL) m ON m.encounter_id = l.encounter_id
        WHERE m.kind = 'decision_to_admit' AND l.left_at IS NOT NULL GROUP BY ALL
        """,
        """
        WITH left_ed AS (
            SELECT encounter_id, max(to_at) AS left_at FROM stay
            WHERE unit = 'ED' GROUP BY encounter_id)
        SELECT date_trunc('month', l.left_at) AS month, count(*) AS boarders,
               percentile_cont(0.5) WITHIN GROUP (ORDER BY
                   extract(epoch FROM l.left_at) - extract(epoch FROM m.at))::bigint AS median,
               percentile_cont(0.9) WITHIN GROUP (ORDER BY
                   extract(epoch FROM l.left_at) - extract(epoch FROM m.at))::bigint AS p90
        FROM left_ed l JOIN encounter_milestone m ON m.encounter_id = l.encounter_id
        WHERE m.kind = 'decision_to_admit' AND l.left_at IS NOT NULL GROUP BY 1
        """,
    ),
}
# Two stays an encounter; every third begins in the ED. Seconds are whole, so that both engines add
# up to the same.
MADE = f"""
CREATE TEMP TABLE made AS
SELECT n, 'e' || n AS encounter_id, 'p' || (hash(n) % greatest($visits // 3, 1)) AS patient_id,
       n % 3 = 0 AS by_ed,
       TIMESTAMPTZ '{START}' + to_seconds(n * {YEARS} * 31557600 // $visits) AS a,
       (3600 + hash(n + 1) % 30000)::BIGINT AS first_s, (hash(n + 2) % 1200000)::BIGINT AS rest_s,
       'W' || lpad((hash(n + 3) % {UNITS})::VARCHAR, 2, '0') AS unit1,
       'W' || lpad((hash(n + 4) % {UNITS})::VARCHAR, 2, '0') AS unit2,
       (hash(n + 5) % 300)::BIGINT * 60 AS waited_s
FROM range($visits) t(n);
INSERT INTO core.stay_version BY NAME
SELECT 's' || n || 'a' AS stay_id, encounter_id, patient_id, 'H' AS facility,
       CASE WHEN by_ed THEN 'ED' ELSE unit1 END AS unit, 'r' AS room, 'b' || n % 30 AS bed,
       a AS from_at, a + to_seconds(first_s) AS to_at, 2 * n AS version_no, n AS owner,
       TIMESTAMPTZ '{START}' AS known_from, 'infinity'::TIMESTAMPTZ AS known_to FROM made;
INSERT INTO core.stay_version BY NAME
SELECT 's' || n || 'b' AS stay_id, encounter_id, patient_id, 'H' AS facility, unit2 AS unit,
       'r' AS room, 'b' || n % 30 AS bed, a + to_seconds(first_s) AS from_at,
       a + to_seconds(first_s + rest_s) AS to_at, 2 * n + 1 AS version_no, n AS owner,
       TIMESTAMPTZ '{START}' AS known_from, 'infinity'::TIMESTAMPTZ AS known_to FROM made;
INSERT INTO core.encounter_version BY NAME
SELECT encounter_id, patient_id, 'H' AS facility, 'IMP' AS class, 'finished' AS status,
       a AS admitted_at, a + to_seconds(first_s + rest_s) AS discharged_at, n AS version_no,
       n AS owner, TIMESTAMPTZ '{START}' AS known_from, 'infinity'::TIMESTAMPTZ AS known_to
FROM made;
INSERT INTO core.encounter_milestone_version BY NAME
SELECT encounter_id, 'decision_to_admit' AS kind,
       a + to_seconds(first_s - waited_s % first_s) AS "at", n AS version_no, n AS owner,
       TIMESTAMPTZ '{START}' AS known_from, 'infinity'::TIMESTAMPTZ AS known_to
FROM made WHERE by_ed;
DROP TABLE made;
"""
