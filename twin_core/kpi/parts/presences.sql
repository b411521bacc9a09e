-- One row per uninterrupted presence of a patient in a unit (and class, where by is class): bed
-- moves within the unit and double registrations of one patient melt into it. held_bed: the patient
-- lay in a bed at the end of it. came: admission, or transfer in where the patient was elsewhere up
-- to that instant or the encounter had begun before. went: NULL while open, else discharge, or
-- transfer out where the patient went on elsewhere.
CREATE OR REPLACE MACRO kpi_part.presences(window_start, window_end, "by", known_at) AS TABLE
WITH piece AS (
    SELECT patient, encounter_id, facility, unit, kpi_part.group_class("by", class) AS class,
           bed_key IS NOT NULL AS in_bed, from_at, to_at
    FROM kpi_part.stay_pieces(window_start, window_end, known_at)
),
marked AS (
    SELECT *, coalesce(from_at > max(to_at) OVER (
               PARTITION BY patient, facility, unit, class ORDER BY from_at, to_at
               ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), true)::INTEGER AS opens
    FROM piece
),
numbered AS (
    SELECT *, sum(opens) OVER (PARTITION BY patient, facility, unit, class
                               ORDER BY from_at, to_at) AS visit
    FROM marked
),
visited AS (
    SELECT patient, facility, unit, class, min(from_at) AS from_at, max(to_at) AS to_at,
           arg_max(in_bed, (to_at, in_bed)) AS held_bed,
           arg_min(encounter_id, from_at) AS first_encounter,
           arg_max(encounter_id, to_at) AS last_encounter
    FROM numbered GROUP BY patient, facility, unit, class, visit
),
extent AS (
    SELECT encounter_id, min(from_at) AS from_at, max(coalesce(to_at, 'infinity')) AS to_at
    FROM history.stay(known_at) s SEMI JOIN piece USING (encounter_id)
    WHERE s.to_at IS NULL OR s.to_at > s.from_at
    GROUP BY ALL
),
neighbour AS (
    SELECT v.patient, v.facility, v.unit, v.class, v.from_at,
           bool_or(o.from_at < v.from_at AND o.to_at >= v.from_at) AS before,
           bool_or(o.from_at <= v.to_at AND o.to_at > v.to_at) AS after
    FROM visited v JOIN visited o
      ON o.patient = v.patient AND (o.facility, o.unit, o.class) <> (v.facility, v.unit, v.class)
    GROUP BY ALL
)
SELECT v.patient, v.facility, v.unit, v.class, v.from_at, v.to_at, v.held_bed, v.first_encounter,
       v.last_encounter,
       CASE WHEN coalesce(n.before, false) OR f.from_at < v.from_at
            THEN 'transfer_in' ELSE 'admission' END AS came,
       CASE WHEN v.to_at = 'infinity' THEN NULL
            WHEN coalesce(n.after, false) OR l.to_at > v.to_at
            THEN 'transfer_out' ELSE 'discharge' END AS went
FROM visited v
JOIN extent f ON f.encounter_id = v.first_encounter
JOIN extent l ON l.encounter_id = v.last_encounter
LEFT JOIN neighbour n ON n.patient = v.patient AND n.facility = v.facility AND n.unit = v.unit
                     AND n.class = v.class AND n.from_at = v.from_at;
