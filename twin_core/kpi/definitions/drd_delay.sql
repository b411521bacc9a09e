-- title = "Delay after discharge-ready"
-- question = "How many bed-days did patients spend here who were ready to leave?"
-- unit = "bed-days"
-- shape = "amounts"
-- target = "0"
-- supplied_by = "A FHIR ServiceRequest, Task or Procedure whose code [fhir] milestones or completions names discharge_ready"
-- grain = ["day", "week", "month", "all"]
-- by = ["hospital", "facility", "unit", "class"]
-- direction = "lower"
-- numerator = "local date of discharge minus local date of discharge-ready, never less than 0, summed over discharges"
-- denominator = "discharges of inpatients with a known date of discharge-ready"
-- exclusions = ["stays without a night", "deaths", "emergency, observation and outpatient visits"]
-- strata = {}
-- statistics = { total = "bed-days of delay", mean = "bed-days per discharge", share_within = "discharges without any delay, in %" }
-- source = "NHS England, discharge ready date, PRN00312 (2023)"
-- caveats = ["The date can move: the last one stated counts (milestone discharge_ready). A discharge without one is unknown: coverage says how many have one."]
-- inputs = ["history.encounter", "history.encounter_class", "history.encounter_milestone", "history.encounter_status", "history.stay", "core.facility", "core.kpi_setting"]
WITH discharge AS (
    SELECT d.*, timezone(z.zone, d.discharged_at)::DATE AS left_on,
           timezone(z.zone, d.spell_start)::DATE AS came_on, z.zone
    FROM kpi_part.discharges(window_start, window_end, known_at) d
    JOIN kpi_part.zones(known_at) z ON z.facility = d.facility
    WHERE d.patient_group = 'inpatient' AND NOT kpi_part.listed('died', d.disposition)
),
ready AS (
    SELECT m.encounter_id, max(m."at") AS ready_at
    FROM history.encounter_milestone(known_at) m
    WHERE m.kind = 'discharge_ready' GROUP BY ALL
)
SELECT d.encounter_id, d.facility, d.unit, d.class, d.discharged_at AS happened_at, NULL AS stratum,
       kpi_part.not_negative(
           date_diff('day', timezone(d.zone, r.ready_at)::DATE, d.left_on)) AS amount
FROM discharge d LEFT JOIN ready r ON r.encounter_id = d.encounter_id
WHERE d.left_on > d.came_on
