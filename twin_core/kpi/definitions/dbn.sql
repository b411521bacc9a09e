-- title = "Discharge before noon"
-- question = "How many patients who went home left their bed before noon?"
-- unit = "%"
-- shape = "shares"
-- grain = ["hour", "day", "week", "month", "all"]
-- by = ["hospital", "facility", "unit", "class"]
-- direction = "higher, never alone"
-- numerator = "live discharges of inpatients between 00:00 and 11:59:59 local time"
-- denominator = "live discharges of inpatients"
-- exclusions = ["deaths", "stays of less than 24 h", "emergency, observation and outpatient visits"]
-- strata = {}
-- statistics = { share = "share of discharges", count = "discharges before noon" }
-- source = "American Journal of Managed Care, discharge before noon (2020)"
-- caveats = ["The departure counts, not the order. Discharge before noon is linked to longer stays of medical patients: always show it beside alos."]
-- inputs = ["history.encounter", "history.encounter_class", "history.encounter_status", "history.stay", "core.facility", "core.kpi_setting"]
SELECT d.encounter_id, d.facility, d.unit, d.class, d.discharged_at AS happened_at, NULL AS stratum,
       hour(timezone(z.zone, d.discharged_at)) < 12 AS counted
FROM kpi_part.discharges(window_start, window_end, known_at) d
JOIN kpi_part.zones(known_at) z ON z.facility = d.facility
WHERE d.patient_group = 'inpatient' AND NOT kpi_part.listed('died', d.disposition)
  AND kpi_part.lasted(d.spell_start, d.discharged_at, 1440)
