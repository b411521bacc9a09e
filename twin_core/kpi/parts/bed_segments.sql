-- When each bed was occupied or held for a patient on leave in the known window, as disjoint
-- segments. A bed with two patients is one occupied bed and a conflict. known: the bed's staffing is
-- known just then; unit_known: that of some bed of its unit is.
CREATE OR REPLACE MACRO kpi_part.bed_segments(window_start, window_end, known_at) AS TABLE
WITH scope AS (FROM kpi_part.scope(window_start, window_end, 'all', 'unit', known_at)),
bed_status AS (FROM kpi_part.bed_statuses(window_start, window_end, known_at)),
stay_piece AS (
    SELECT p.bed_key, p.facility, p.unit, coalesce(p.class, 'unknown') AS class, p.on_leave,
           greatest(p.from_at, scope.from_at) AS from_at, least(p.to_at, scope.seen_to) AS to_at
    FROM kpi_part.stay_pieces(window_start, window_end, known_at) p
    JOIN scope ON p.from_at < scope.seen_to AND p.to_at > scope.from_at
    WHERE p.bed_key IS NOT NULL
),
class_code AS (
    SELECT class, row_number() OVER (ORDER BY class)::INTEGER AS class_no
    FROM (SELECT DISTINCT class FROM stay_piece)
),
bed AS (
    SELECT p.bed_key, coalesce(min(nullif(s.facility, '')), min(p.facility)) AS facility,
           coalesce(min(nullif(s.unit, '')), min(p.unit)) AS unit,
           row_number() OVER (ORDER BY p.bed_key)::INTEGER AS bed_no
    FROM (SELECT DISTINCT bed_key, facility, unit FROM stay_piece) p
    LEFT JOIN bed_status s ON s.bed_key = p.bed_key
    GROUP BY p.bed_key
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
    SELECT b.bed_no, p.from_at, p.to_at, (NOT p.on_leave)::INTEGER AS present,
           p.on_leave::INTEGER AS away, c.class_no, 0 AS known, 0 AS unit_known
    FROM stay_piece p JOIN bed b ON b.bed_key = p.bed_key JOIN class_code c ON c.class = p.class
    UNION ALL
    SELECT b.bed_no, s.from_at, s.to_at, 0, 0, 0, 1, 0
    FROM bed_status s JOIN bed b ON b.bed_key = s.bed_key WHERE s.known
    UNION ALL
    SELECT b.bed_no, u.from_at, u.to_at, 0, 0, 0, 0, 1
    FROM unit_known u JOIN bed b ON b.facility = u.facility AND b.unit = u.unit
),
change AS (
    SELECT bed_no, from_at AS changed_at, present, away, present * class_no AS present_class,
           away * class_no AS away_class, known, unit_known
    FROM lasting
    UNION ALL
    SELECT bed_no, to_at, -present, -away, -present * class_no, -away * class_no,
           -known, -unit_known
    FROM lasting
),
instant AS (
    SELECT bed_no, changed_at, sum(present)::INTEGER AS present, sum(away)::INTEGER AS away,
           sum(present_class)::INTEGER AS present_class, sum(away_class)::INTEGER AS away_class,
           sum(known)::INTEGER AS known, sum(unit_known)::INTEGER AS unit_known
    FROM change GROUP BY ALL
),
running AS (
    SELECT bed_no, changed_at AS from_at, lead(changed_at) OVER bed AS to_at,
           sum(present) OVER bed AS present, sum(away) OVER bed AS away,
           sum(present_class) OVER bed AS present_class, sum(away_class) OVER bed AS away_class,
           sum(known) OVER bed AS known, sum(unit_known) OVER bed AS unit_known
    FROM instant WINDOW bed AS (PARTITION BY bed_no ORDER BY changed_at)
)
SELECT b.bed_key, b.facility, b.unit, r.from_at, r.to_at,
       CASE WHEN r.present > 1 OR (r.present = 0 AND r.away > 1) THEN 'conflict' ELSE c.class END
           AS class,
       (r.present > 0)::INTEGER AS occupied,
       (r.present = 0 AND r.away > 0)::INTEGER AS on_leave,
       (r.present > 1)::INTEGER AS conflict,
       (r.known > 0)::INTEGER AS known, (r.unit_known > 0)::INTEGER AS unit_known
FROM running r
JOIN bed b ON b.bed_no = r.bed_no
LEFT JOIN class_code c ON c.class_no = CASE WHEN r.present > 0 THEN r.present_class
                                            ELSE r.away_class END
WHERE r.to_at IS NOT NULL AND (r.present > 0 OR r.away > 0);
