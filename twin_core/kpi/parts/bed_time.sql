-- Bed time per group and period, in bed-hours: sums over the steps of kpi_part.bed_steps, up to
-- the latest known instant. available_hours is NULL where no bed of the group has known staffing.
CREATE OR REPLACE MACRO kpi_part.bed_time(
    window_start, window_end, grain, "by", known_at, with_ed
) AS TABLE
WITH summed AS (
    SELECT facility, unit, stratum, headline, period_start, period_end,
           any_value(seen_to) AS seen_to,
           sum(occupied * (epoch_us(to_at) - epoch_us(from_at))) AS occupied_us,
           sum(counted * (epoch_us(to_at) - epoch_us(from_at))) AS counted_us,
           sum(staffing_known * (epoch_us(to_at) - epoch_us(from_at))) AS staffing_known_us,
           sum(available * (epoch_us(to_at) - epoch_us(from_at))) AS available_us,
           sum(epoch_us(to_at) - epoch_us(from_at)) FILTER (WHERE available IS NOT NULL)
               AS capacity_us
    FROM kpi_part.bed_steps(window_start, window_end, grain, "by", known_at, with_ed)
    GROUP BY ALL
),
timed AS (
    SELECT *, coalesce(epoch_us(seen_to) - epoch_us(period_start), 0) AS seen_us,
           epoch_us(period_end) - epoch_us(period_start) AS period_us
    FROM summed
)
SELECT facility, unit, stratum, headline, period_start, period_end, seen_to,
       CASE WHEN seen_to IS NOT NULL
            THEN CASE WHEN available_us IS NULL THEN occupied_us ELSE counted_us END / 3.6e9
       END AS occupied_hours,
       CASE WHEN seen_to IS NOT NULL THEN available_us / 3.6e9 END AS available_hours,
       CASE WHEN seen_to IS NOT NULL THEN capacity_us / 3.6e9 END AS capacity_hours,
       seen_us / period_us::DOUBLE
           * CASE WHEN occupied_us > 0 THEN staffing_known_us / occupied_us::DOUBLE
                  WHEN seen_us > 0 THEN coalesce(capacity_us, 0) / seen_us::DOUBLE
                  ELSE 0 END AS coverage
FROM timed;
