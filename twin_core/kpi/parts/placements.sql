-- Every wish for a bed, from its first request to its end: plans of one encounter and kind that
-- replaced each other are one placement. requested_at is the last request that named no bed (a new
-- request starts the clock again), assigned_at when a bed was first named for it, occupied_at when
-- the patient lay in it. outcome: done, active, cancelled or lapsed.
CREATE OR REPLACE MACRO kpi_part.placements(window_start, window_end, known_at) AS TABLE
WITH scope AS (FROM kpi_part.scope(window_start, window_end, 'all', 'unit', known_at)),
plan AS (
    SELECT p.*, coalesce(lag(p.status) OVER line <> 'replaced', true)::INTEGER AS opens
    FROM history.encounter_plan(known_at) p, scope
    WHERE p.kind IN ('admission', 'transfer') AND p.stated_at < scope.seen_to
    WINDOW line AS (PARTITION BY p.encounter_id, p.kind ORDER BY p.stated_at, p.plan_id)
),
numbered AS (
    SELECT *, sum(opens) OVER (PARTITION BY encounter_id, kind ORDER BY stated_at, plan_id) AS wish
    FROM plan
),
gathered AS (
    SELECT encounter_id, kind, wish, min(stated_at) AS first_requested_at,
           coalesce(max(stated_at) FILTER (WHERE bed IS NULL), min(stated_at)) AS requested_at,
           arg_max(facility, (stated_at, plan_id)) AS facility,
           arg_max(unit, (stated_at, plan_id)) AS unit,
           arg_max(status, (stated_at, plan_id)) AS outcome,
           arg_max(ended_at, (stated_at, plan_id)) AS ended_at
    FROM numbered GROUP BY ALL
),
assigned AS (
    SELECT g.encounter_id, g.kind, g.wish, min(n.stated_at) AS assigned_at
    FROM gathered g
    JOIN numbered n ON n.encounter_id = g.encounter_id AND n.kind = g.kind AND n.wish = g.wish
     AND n.bed IS NOT NULL AND n.stated_at >= g.requested_at
    GROUP BY ALL
)
SELECT g.encounter_id, g.kind, coalesce(g.facility, e.facility, '') AS facility,
       coalesce(g.unit, '') AS unit, e.class, g.first_requested_at, g.requested_at, a.assigned_at,
       CASE WHEN g.outcome = 'done' THEN g.ended_at END AS occupied_at, g.ended_at, g.outcome
FROM gathered g
JOIN history.encounter(known_at) e ON e.encounter_id = g.encounter_id
LEFT JOIN assigned a ON a.encounter_id = g.encounter_id AND a.kind = g.kind AND a.wish = g.wish
JOIN scope ON g.ended_at IS NULL OR g.ended_at >= scope.from_at;
