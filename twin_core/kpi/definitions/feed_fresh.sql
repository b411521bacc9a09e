-- title = "Feed freshness"
-- question = "Is every feed still talking, and how often was one silent for too long?"
-- unit = "s"
-- grain = ["hour", "day", "week", "month", "all"]
-- by = ["hospital", "facility", "unit", "class"]
-- direction = "lower"
-- numerator = "seconds from the last message received to the last known instant of the period; for gap_hours, hours with a gap"
-- denominator = "for gap_hours, hours of the period since the feed's first message"
-- exclusions = ["the time before a feed's first message"]
-- strata = { "<feed>" = "one stratum per feed; there is no row for all feeds together" }
-- statistics = { seconds_since_last = "age of the last message", gap_hours = "share of hours, in %, in which the feed was silent for longer than its limit" }
-- source = "GE command centre tile freshness, local limit (read 2026)"
-- caveats = [
--     "A quiet night ward is not a broken feed: a silence is too long when the feed's own rate, by local hour of the day over the last 28 days of the window, would have broken it 999 times in 1,000 (6.9 messages expected, none received), and when it has lasted 15 minutes.",
--     "Feeds belong to no facility or unit: by changes nothing. Hours are elapsed hours of the period.",
--     "Every received message counts, quarantined ones too.",
-- ]
-- inputs = ["core.message", "core.facility"]
WITH scope AS (FROM kpi_part.scope(window_start, window_end, grain, "by", known_at)),
period AS (
    FROM kpi_part.periods(window_start, window_end, grain, 'hospital', known_at)
    WHERE facility = '*'
),
hour AS (
    SELECT period_start AS hour_start, seen_to AS hour_end
    FROM kpi_part.periods(window_start, window_end, 'hour', 'hospital', known_at)
    WHERE facility = '*' AND seen_to IS NOT NULL
),
message AS (
    SELECT m.feed, m.received_at
    FROM core.message m, scope WHERE m.received_at <= scope.seen_to
),
first_message AS (SELECT feed, min(received_at) AS first_at FROM message GROUP BY ALL),
hour_of_day AS (
    SELECT b.starts_at, kpi_part.later(b.starts_at, 60) AS ends_at,
           hour(timezone(b.zone, b.starts_at)) AS clock_hour,
           b.starts_at >= kpi_part.later(scope.seen_to, -28 * 1440)
               AND b.starts_at < scope.seen_to AS recent
    FROM scope,
         kpi_part.boundaries(window_start::TIMESTAMPTZ - INTERVAL 28 DAY, window_end, 'hour',
                             'hospital', known_at) b
    JOIN kpi_part.zones(known_at) z ON z.zone = b.zone AND z.facility = '*'
),
clock AS (
    SELECT f.feed, h.starts_at, h.clock_hour, h.recent AND h.ends_at > f.first_at AS typical
    FROM first_message f, hour_of_day h
),
placed AS (
    SELECT m.feed, m.received_at, c.starts_at, c.typical
    FROM message m ASOF LEFT JOIN clock c ON c.feed = m.feed AND c.starts_at <= m.received_at
),
heard AS (
    SELECT feed, starts_at, count(*) AS messages FROM placed WHERE typical GROUP BY ALL
),
rate AS (
    SELECT c.feed, c.clock_hour, coalesce(sum(h.messages), 0) / count(*) AS per_hour
    FROM clock c LEFT JOIN heard h ON h.feed = c.feed AND h.starts_at = c.starts_at
    WHERE c.typical GROUP BY ALL
),
expected AS (
    SELECT c.feed, c.starts_at, coalesce(r.per_hour, 0) AS per_hour,
           coalesce(sum(r.per_hour) OVER (PARTITION BY c.feed ORDER BY c.starts_at
               ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS so_far
    FROM clock c LEFT JOIN rate r ON r.feed = c.feed AND r.clock_hour = c.clock_hour
),
mark AS (
    SELECT p.feed, p.received_at,
           coalesce(e.so_far + e.per_hour * kpi_part.hours(e.starts_at, p.received_at), 0) AS so_far
    FROM placed p LEFT JOIN expected e ON e.feed = p.feed AND e.starts_at = p.starts_at
),
gap AS (
    SELECT feed, received_at, so_far - lag(so_far) OVER line AS missed,
           epoch(received_at) - epoch(lag(received_at) OVER line) AS seconds
    FROM mark WINDOW line AS (PARTITION BY feed ORDER BY received_at)
),
broken_in AS (
    SELECT g.feed, h.hour_start
    FROM gap g ASOF JOIN hour h ON h.hour_start < g.received_at
    WHERE g.received_at <= h.hour_end AND g.missed > ln(1000) AND g.seconds > 900
    GROUP BY ALL
),
last_before AS (
    SELECT h.feed, h.hour_start, h.hour_end, m.received_at, m.so_far
    FROM (SELECT f.feed, h.* FROM hour h JOIN first_message f ON f.first_at < h.hour_end) h
    ASOF JOIN mark m ON m.feed = h.feed AND m.received_at < h.hour_end
),
silence AS (
    SELECT l.feed, l.hour_start, b.feed IS NOT NULL
               OR (epoch(l.hour_end) - epoch(l.received_at) > 900
                   AND e.so_far + e.per_hour * kpi_part.hours(e.starts_at, l.hour_end) - l.so_far
                       > ln(1000)) AS too_long
    FROM last_before l
    ASOF JOIN expected e ON e.feed = l.feed AND e.starts_at <= l.hour_start
    LEFT JOIN broken_in b ON b.feed = l.feed AND b.hour_start = l.hour_start
),
counted AS (
    SELECT s.feed, p.period_start, count(*) AS hours, count(*) FILTER (WHERE s.too_long) AS gaps
    FROM silence s JOIN period p
      ON s.hour_start >= p.period_start AND s.hour_start < p.period_end
    GROUP BY ALL
),
last_message AS (
    SELECT p.feed, p.period_start, p.period_end, p.seen_to, m.received_at AS last_at
    FROM (SELECT * FROM first_message CROSS JOIN period) p
    ASOF LEFT JOIN message m ON m.feed = p.feed AND m.received_at <= p.seen_to
)
SELECT NULL AS facility, NULL AS unit, period_start, period_end, feed AS stratum,
       'seconds_since_last' AS statistic, epoch(seen_to) - epoch(last_at) AS numerator,
       NULL AS denominator, epoch(seen_to) - epoch(last_at) AS value,
       (last_at IS NOT NULL)::INTEGER AS coverage
FROM last_message
UNION ALL
SELECT NULL, NULL, l.period_start, l.period_end, l.feed, 'gap_hours', c.gaps, c.hours,
       100 * kpi_part.ratio(c.gaps, c.hours), (c.hours IS NOT NULL)::INTEGER
FROM last_message l
LEFT JOIN counted c ON c.feed = l.feed AND c.period_start = l.period_start
