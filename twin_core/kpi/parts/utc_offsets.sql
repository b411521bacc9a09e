-- How far local clocks are ahead of UTC, in microseconds, on every day (of UTC) of the window and of
-- the two months before it, per time zone; NULL on a day on which they change. To convert an instant
-- by its zone costs a hundred times as much as to look up its day here.
CREATE OR REPLACE MACRO kpi_part.utc_offsets(window_start, window_end, known_at) AS TABLE
WITH day AS (
    SELECT z.zone, unnest(range(greatest(epoch_us(w.from_at) // 86400000000 - 60, 1),
                                epoch_us(w.to_at) // 86400000000 + 1)) AS utc_day
    FROM (SELECT DISTINCT zone FROM kpi_part.zones(known_at)) z,
         kpi_part.scope(window_start, window_end, 'all', 'unit', known_at) w
),
ahead AS (
    SELECT zone, utc_day,
           epoch_us(timezone(zone, make_timestamptz(utc_day * 86400000000)))
               - utc_day * 86400000000 AS at_start,
           epoch_us(timezone(zone, make_timestamptz((utc_day + 1) * 86400000000)))
               - (utc_day + 1) * 86400000000 AS at_end
    FROM day
)
SELECT zone, utc_day, CASE WHEN at_start = at_end THEN at_start END AS ahead_us FROM ahead;
-- The local day of an instant, counted since 1970: by the offset of its day, else by its zone.
CREATE OR REPLACE MACRO kpi_part.local_day(zone, instant, ahead_us) AS
    CASE WHEN ahead_us IS NOT NULL THEN (epoch_us(instant) + ahead_us) // 86400000000
         ELSE date_diff('day', DATE '1970-01-01', timezone(zone, instant)::DATE) END;
