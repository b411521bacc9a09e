-- What each bed was at every moment of the known window, as disjoint segments: how many patients
-- lay in it, whether it was held for one on leave, and its capacity. A bed with two patients is one
-- occupied bed and a conflict. unit_known: some bed of the unit has a known staffing just then.
CREATE OR REPLACE MACRO kpi_part.bed_segments(window_start, window_end, known_at) AS TABLE
WITH scope AS (FROM kpi_part.scope(window_start, window_end, 'all', 'unit', known_at)),
bed_status AS (FROM kpi_part.bed_statuses(window_start, window_end, known_at)),
bed AS (SELECT bed_key, min(facility) AS facility, min(unit) AS unit FROM bed_status GROUP BY ALL),
class_code AS (
    SELECT class, row_number() OVER (ORDER BY class) AS class_no
    FROM (SELECT DISTINCT coalesce(class, 'unknown') AS class
          FROM kpi_part.stay_pieces(window_start, window_end, known_at))
),
piece AS (
    SELECT p.bed_key, coalesce(nullif(b.facility, ''), p.facility) AS facility,
           coalesce(nullif(b.unit, ''), p.unit) AS unit, c.class_no, p.on_leave,
           greatest(p.from_at, scope.from_at) AS from_at, least(p.to_at, scope.seen_to) AS to_at
    FROM kpi_part.stay_pieces(window_start, window_end, known_at) p
    JOIN scope ON p.from_at < scope.seen_to AND p.to_at > scope.from_at
    JOIN class_code c ON c.class = coalesce(p.class, 'unknown')
    LEFT JOIN bed b ON b.bed_key = p.bed_key
    WHERE p.bed_key IS NOT NULL
),
unit_gap AS (
    SELECT facility, unit, from_at, to_at, coalesce(from_at > max(to_at) OVER (
               PARTITION BY facility, unit ORDER BY from_at, to_at
               ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), true)::INTEGER AS opens
    FROM (SELECT DISTINCT facility, unit, from_at, to_at FROM bed_status WHERE known)
),
unit_numbered AS (
    SELECT *, sum(opens) OVER (PARTITION BY facility, unit ORDER BY from_at, to_at) AS island
    FROM unit_gap
),
unit_known AS (
    SELECT facility, unit, min(from_at) AS from_at, max(to_at) AS to_at
    FROM unit_numbered GROUP BY facility, unit, island
),
lasting AS (
    SELECT bed_key, facility, unit, from_at, to_at,
           (NOT on_leave)::INTEGER AS present, on_leave::INTEGER AS away, class_no AS class_sum,
           0 AS known, 0 AS available, 0 AS unit_known
    FROM piece
    UNION ALL
    SELECT bed_key, facility, unit, from_at, to_at, 0, 0, 0,
           known::INTEGER, available::INTEGER, 0
    FROM bed_status WHERE known
    UNION ALL
    SELECT b.bed_key, u.facility, u.unit, u.from_at, u.to_at, 0, 0, 0, 0, 0, 1
    FROM unit_known u JOIN (SELECT DISTINCT bed_key, facility, unit FROM piece) b
      ON b.facility = u.facility AND b.unit = u.unit
),
change AS (
    SELECT bed_key, facility, unit, from_at AS changed_at, present, away,
           present * class_sum AS present_class, away * class_sum AS away_class,
           known, available, unit_known
    FROM lasting
    UNION ALL
    SELECT bed_key, facility, unit, to_at, -present, -away,
           -present * class_sum, -away * class_sum, -known, -available, -unit_known
    FROM lasting
),
instant AS (
    SELECT bed_key, facility, unit, changed_at, sum(present) AS present, sum(away) AS away,
           sum(present_class) AS present_class, sum(away_class) AS away_class,
           sum(known) AS known, sum(available) AS available, sum(unit_known) AS unit_known
    FROM change GROUP BY ALL
),
running AS (
    SELECT bed_key, facility, unit, changed_at AS from_at, lead(changed_at) OVER bed AS to_at,
           sum(present) OVER bed AS present, sum(away) OVER bed AS away,
           sum(present_class) OVER bed AS present_class, sum(away_class) OVER bed AS away_class,
           sum(known) OVER bed AS known, sum(available) OVER bed AS available,
           sum(unit_known) OVER bed AS unit_known
    FROM instant WINDOW bed AS (PARTITION BY bed_key, facility, unit ORDER BY changed_at)
)
SELECT r.bed_key, r.facility, r.unit, r.from_at, r.to_at,
       CASE WHEN r.present > 1 OR (r.present = 0 AND r.away > 1) THEN 'conflict' ELSE c.class END
           AS class,
       (r.present > 0)::INTEGER AS occupied,
       (r.present = 0 AND r.away > 0)::INTEGER AS on_leave,
       (r.present > 1)::INTEGER AS conflict,
       (r.known > 0)::INTEGER AS known, (r.available > 0)::INTEGER AS available,
       (r.unit_known > 0)::INTEGER AS unit_known
FROM running r
LEFT JOIN class_code c ON c.class_no = CASE WHEN r.present > 0 THEN r.present_class
                                            ELSE r.away_class END
WHERE r.to_at IS NOT NULL AND (r.present > 0 OR r.away > 0 OR r.known > 0);
