-- title = "Ward moves per stay"
-- question = "How often was a patient moved from ward to ward before going home?"
-- unit = "moves"
-- grain = ["hour", "day", "week", "month", "all"]
-- by = ["hospital", "facility", "unit", "class", "service", "age_band", "arrival_mode"]
-- direction = "lower"
-- numerator = "changes of unit during the stays of the inpatients discharged in the period"
-- denominator = "those discharges, deaths included"
-- exclusions = ["bed moves within a unit", "visits to theatre or imaging (tracking, A09 and A10)", "moves before the inpatient spell began", "cancelled transfers", "discharges without any recorded stay"]
-- strata = {}
-- statistics = { mean = "moves per discharge", share_3_plus = "discharges with three or more moves, in %" }
-- counts = { mean = "u", share_3_plus = "p" }
-- source = "Local definition (2026)"
-- caveats = ["By unit, a discharge and all its moves belong to the unit of the last stay.", "Parts of another inpatient encounter are not discharges of their own."]
-- inputs = ["history.stay", "history.encounter", "history.encounter_class", "history.encounter_status", "history.location"]
WITH grouped AS (
    SELECT kpi_part.group_facility("by", d.facility) AS in_facility,
           kpi_part.group_unit("by", d.unit) AS in_unit,
           kpi_part.group_visit("by", d.class, t.described_as) AS in_class, d.discharged_at, d.moves
    FROM kpi_part.ward_moves(window_start, window_end, known_at) d
    LEFT JOIN kpi_part.patients_by("by", known_at) t ON t.described_id = d.encounter_id
),
owed AS (
    SELECT in_facility, in_unit, in_class
    FROM kpi_part.places(window_start, window_end, "by", known_at)
    WHERE "by" <> 'class' OR kpi_part.patient_group(in_class) = 'inpatient'
    UNION SELECT in_facility, in_unit, in_class FROM grouped
),
summed AS (
    SELECT o.in_facility, o.in_unit, o.in_class, p.period_start, p.period_end, p.seen_to,
           count(g.discharged_at) AS discharges, count(g.moves) AS n,
           coalesce(sum(g.moves), 0) AS moves, count(*) FILTER (WHERE g.moves >= 3) AS often
    FROM owed o
    JOIN kpi_part.periods(window_start, window_end, grain, "by", known_at) p
      ON p.facility = o.in_facility
    LEFT JOIN grouped g
      ON g.in_facility = o.in_facility AND g.in_unit = o.in_unit AND g.in_class = o.in_class
     AND g.discharged_at >= p.period_start AND g.discharged_at < p.period_end
    GROUP BY ALL
),
published AS (
    SELECT *, unnest([
        {'statistic': 'mean', 'above': moves::BIGINT, 'value': kpi_part.ratio(moves, n)},
        {'statistic': 'share_3_plus', 'above': often, 'value': 100 * kpi_part.ratio(often, n)}
    ]) AS row
    FROM summed
)
SELECT kpi_part.shown(in_facility) AS facility, kpi_part.shown(in_unit) AS unit,
       period_start, period_end, kpi_part.shown(in_class) AS stratum, row.statistic AS statistic,
       CASE WHEN seen_to IS NOT NULL THEN row.above END AS numerator,
       CASE WHEN seen_to IS NOT NULL THEN n END AS denominator, row.value AS value,
       CASE WHEN seen_to IS NULL THEN 0
            ELSE kpi_part.hours(period_start, seen_to) / kpi_part.hours(period_start, period_end)
                 * CASE WHEN discharges > 0 THEN n / discharges ELSE 1 END END AS coverage
FROM published
