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
-- source = "GE command centre tile freshness, local limit (2026)"
-- caveats = [
--     "A quiet night ward is not a broken feed: the limit of an hour is the silence that would happen once in a thousand times at the feed's own rate at that local hour of the day over the 28 days before the window's end, and at least 15 minutes. An hour of the day that has no message in those days has a limit of one hour.",
--     "Feeds belong to no facility or unit: by changes nothing. Hours are elapsed hours of the period.",
--     "Every received message counts, quarantined ones too.",
-- ]
-- inputs = ["core.message", "core.facility"]
WITH scope AS (FROM kpi_part.scope(window_start, window_end, grain, "by", known_at)),
period AS (
    SELECT p.* FROM kpi_part.periods(window_start, window_end, grain, 'hospital', known_at) p
    WHERE p.facility = '*'
),
hour AS (
    SELECT p.period_start AS hour_start, p.seen_to AS hour_end,
           hour(timezone(p.zone, p.period_start)) AS clock_hour
    FROM kpi_part.periods(window_start, window_end, 'hour', 'hospital', known_at) p
    WHERE p.facility = '*' AND p.seen_to IS NOT NULL
),
message AS (
    SELECT m.feed, m.received_at,
           lag(m.received_at) OVER (PARTITION BY m.feed ORDER BY m.received_at) AS previous_at
    FROM core.message m, scope WHERE m.received_at <= scope.seen_to
),
first_message AS (SELECT feed, min(received_at) AS first_at FROM message GROUP BY ALL),
recent_hour AS (
    SELECT b.starts_at, hour(timezone(b.zone, b.starts_at)) AS clock_hour
    FROM scope, kpi_part.boundaries(window_start::TIMESTAMPTZ - INTERVAL 28 DAY, window_end,
                                    'hour', 'hospital', known_at) b
    JOIN kpi_part.zones(known_at) z ON z.zone = b.zone AND z.facility = '*'
    WHERE b.starts_at >= scope.seen_to - INTERVAL 28 DAY AND b.starts_at < scope.seen_to
),
received AS (
    SELECT m.feed, hour(timezone(z.zone, m.received_at)) AS clock_hour, count(*) AS messages
    FROM message m, scope, kpi_part.zones(known_at) z
    WHERE z.facility = '*' AND m.received_at >= scope.seen_to - INTERVAL 28 DAY
    GROUP BY ALL
),
tolerated AS (
    SELECT f.feed, h.clock_hour,
           coalesce(greatest(900.0, ln(1000) * 3600 * count(*) / any_value(r.messages)), 3600.0)
               AS limit_seconds
    FROM first_message f
    JOIN recent_hour h ON h.starts_at > f.first_at - INTERVAL 1 HOUR
    LEFT JOIN received r ON r.feed = f.feed AND r.clock_hour = h.clock_hour
    GROUP BY f.feed, h.clock_hour
),
heard AS (
    SELECT m.feed, h.hour_start, max(epoch(m.received_at) - epoch(m.previous_at)) AS longest,
           max(m.received_at) AS last_at
    FROM message m ASOF JOIN hour h ON h.hour_start <= m.received_at
    WHERE m.received_at < h.hour_end GROUP BY ALL
),
silence AS (
    SELECT f.feed, h.hour_start,
           greatest(coalesce(e.longest, 0), epoch(h.hour_end) - epoch(l.received_at))
               > coalesce(t.limit_seconds, 3600.0) AS too_long
    FROM hour h
    JOIN first_message f ON f.first_at < h.hour_end
    ASOF JOIN message l ON l.feed = f.feed AND l.received_at < h.hour_end
    LEFT JOIN heard e ON e.feed = f.feed AND e.hour_start = h.hour_start
    LEFT JOIN tolerated t ON t.feed = f.feed AND t.clock_hour = h.clock_hour
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
