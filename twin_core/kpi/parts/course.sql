-- The course of every encounter that touches the window: unbroken periods of one class and status,
-- from the beginning of time to its end. A period that ends without a successor leaves the status
-- 'unknown'; a class holds until the next one; before its first class an encounter has that class.
CREATE OR REPLACE MACRO kpi_part.course(window_start, window_end, known_at) AS TABLE
WITH scope AS (FROM kpi_part.scope(window_start, window_end, 'all', 'unit', known_at)),
touched AS (
    SELECT e.encounter_id, e.class, e.status FROM history.encounter(known_at) e, scope
    WHERE e.encounter_id IN (
        SELECT s.encounter_id FROM history.stay(known_at) s, scope
        WHERE s.from_at < scope.seen_to AND (s.to_at IS NULL OR s.to_at >= scope.from_at)
        UNION ALL
        SELECT s.encounter_id FROM history.encounter_status(known_at) s, scope
        WHERE (s.from_at IS NULL OR s.from_at < scope.seen_to)
          AND (s.to_at IS NULL OR s.to_at >= scope.from_at)
          AND s.status IN ('arrived', 'triaged', 'in-progress', 'onleave'))
),
change AS (
    SELECT encounter_id, '-infinity'::TIMESTAMPTZ AS changed_at, NULL AS class, NULL AS status,
           0 AS rank FROM touched
    UNION ALL
    SELECT encounter_id, coalesce(from_at, '-infinity'), class, NULL, 1
    FROM history.encounter_class(known_at) SEMI JOIN touched USING (encounter_id)
    UNION ALL
    SELECT encounter_id, to_at, NULL, 'unknown', 1
    FROM history.encounter_status(known_at) SEMI JOIN touched USING (encounter_id)
    WHERE to_at IS NOT NULL
    UNION ALL
    SELECT encounter_id, coalesce(from_at, '-infinity'), NULL, status, 2
    FROM history.encounter_status(known_at) SEMI JOIN touched USING (encounter_id)
),
at_once AS (
    SELECT encounter_id, changed_at, max(class) AS class,
           max_by(status, rank) FILTER (WHERE status IS NOT NULL) AS status
    FROM change GROUP BY ALL
),
carried AS (
    SELECT encounter_id, changed_at AS from_at,
           lead(changed_at, 1, 'infinity'::TIMESTAMPTZ) OVER course AS to_at,
           coalesce(last_value(class IGNORE NULLS) OVER course,
                    first_value(class IGNORE NULLS) OVER (
                        course ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING)) AS class,
           last_value(status IGNORE NULLS) OVER course AS status
    FROM at_once WINDOW course AS (PARTITION BY encounter_id ORDER BY changed_at)
)
SELECT c.encounter_id, c.from_at, c.to_at, coalesce(c.class, t.class) AS class,
       coalesce(c.status, 'unknown') AS status
FROM carried c JOIN touched t ON t.encounter_id = c.encounter_id;
