-- title = "Average length of stay"
-- question = "How long did the inpatients who left in this period stay?"
-- unit = "days"
-- grain = ["hour", "day", "week", "month", "all"]
-- by = ["hospital", "facility", "unit", "class", "service", "age_band", "arrival_mode"]
-- direction = "lower (case-mix adjusted)"
-- numerator = "discharge minus start of the spell, summed over discharges (deaths included)"
-- denominator = "discharges with a known start; n for quantiles"
-- exclusions = ["emergency and outpatient visits", "day cases and observation (strata)", "cancelled encounters", "parts of another inpatient encounter"]
-- strata = { day_case = "discharged on the local day of admission", observation = "class OBSENC" }
-- statistics = { mean = "hours-exact mean", median = "middle length of stay", p90 = "nine in ten stayed no longer", mean_nights = "local nights per discharge", mean_without_leave = "mean with leave of absence subtracted" }
-- source = "Hospital statistics: total discharge days over discharges (read 2026)"
-- caveats = [
--     "The spell starts with the first inpatient class, not with the arrival in the ED.",
--     "By unit, a discharge belongs to the unit of the last stay. Each encounter is one spell: a transfer to another site under a new encounter starts a new one.",
--     "Only completed stays: patients still here are not in it.",
-- ]
-- inputs = ["history.encounter", "history.encounter_class", "history.encounter_status", "history.stay", "history.location", "core.facility"]
WITH discharge AS (
    SELECT kpi_part.group_facility("by", d.facility) AS in_facility,
           kpi_part.group_unit("by", d.unit) AS in_unit,
           kpi_part.group_visit("by", d.class, t.described_as) AS in_class, d.discharged_at,
           d.spell_start <= d.discharged_at AS timed,
           kpi_part.hours(d.spell_start, d.discharged_at) / 24 AS days, d.leave_hours / 24 AS leave_days,
           kpi_part.local_day(z.zone, d.discharged_at, l.ahead_us)
               - kpi_part.local_day(z.zone, d.spell_start, f.ahead_us) AS nights,
           d.patient_group
    FROM kpi_part.discharges(window_start, window_end, known_at) d
    JOIN kpi_part.zones(known_at) z ON z.facility = d.facility
    LEFT JOIN kpi_part.utc_offsets(window_start, window_end, known_at) f
      ON f.zone = z.zone AND f.utc_day = epoch_us(d.spell_start) // 86400000000
    LEFT JOIN kpi_part.utc_offsets(window_start, window_end, known_at) l
      ON l.zone = z.zone AND l.utc_day = epoch_us(d.discharged_at) // 86400000000
    LEFT JOIN kpi_part.patients_by("by", known_at) t ON t.described_id = d.encounter_id
    WHERE d.patient_group IN ('inpatient', 'observation')
),
grouped AS (
    SELECT *, CASE WHEN patient_group = 'observation' THEN 'observation' WHEN nights = 0 THEN 'day_case'
                   ELSE 'inpatient' END AS kind
    FROM discharge
),
owed AS (
    SELECT in_facility, in_unit, in_class, 'inpatient' AS kind
    FROM kpi_part.places(window_start, window_end, "by", known_at)
    WHERE "by" <> 'class' OR kpi_part.patient_group(in_class) = 'inpatient'
    UNION SELECT in_facility, in_unit, in_class, kind FROM grouped
),
summed AS (
    SELECT o.in_facility, o.in_unit, o.in_class, o.kind, p.period_start, p.period_end, p.seen_to,
           count(g.discharged_at) AS discharges, count(*) FILTER (WHERE g.timed) AS n,
           coalesce(sum(g.days) FILTER (WHERE g.timed), 0) AS days,
           coalesce(sum(g.nights) FILTER (WHERE g.timed), 0) AS nights,
           coalesce(sum(g.days - g.leave_days) FILTER (WHERE g.timed), 0) AS present_days,
           quantile_cont(g.days, 0.5) FILTER (WHERE g.timed) AS median,
           quantile_cont(g.days, 0.9) FILTER (WHERE g.timed) AS p90
    FROM owed o
    JOIN kpi_part.periods(window_start, window_end, grain, "by", known_at) p
      ON p.facility = o.in_facility
    LEFT JOIN grouped g
      ON g.in_facility = o.in_facility AND g.in_unit = o.in_unit AND g.in_class = o.in_class
     AND g.kind = o.kind AND g.discharged_at >= p.period_start AND g.discharged_at < p.period_end
    GROUP BY ALL
),
published AS (
    SELECT *, unnest([
        {'statistic': 'mean', 'above': days, 'value': kpi_part.ratio(days, n)},
        {'statistic': 'median', 'above': NULL, 'value': median},
        {'statistic': 'p90', 'above': NULL, 'value': p90},
        {'statistic': 'mean_nights', 'above': nights::DOUBLE, 'value': kpi_part.ratio(nights, n)},
        {'statistic': 'mean_without_leave', 'above': present_days,
         'value': kpi_part.ratio(present_days, n)}]) AS row
    FROM summed
)
SELECT kpi_part.shown(in_facility) AS facility, kpi_part.shown(in_unit) AS unit,
       period_start, period_end,
       nullif(concat_ws('/', nullif(in_class, '*'), nullif(kind, 'inpatient')), '') AS stratum,
       row.statistic AS statistic, CASE WHEN seen_to IS NOT NULL THEN row.above END AS numerator,
       CASE WHEN seen_to IS NOT NULL THEN n END AS denominator, row.value AS value,
       CASE WHEN seen_to IS NULL THEN 0
            ELSE kpi_part.hours(period_start, seen_to) / kpi_part.hours(period_start, period_end)
                 * CASE WHEN discharges > 0 THEN n / discharges ELSE 1 END END AS coverage
FROM published WHERE kind = 'inpatient' OR discharges > 0
