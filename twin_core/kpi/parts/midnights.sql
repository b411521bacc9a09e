-- Every local midnight in the window, with the period it falls into. One that lies beyond the
-- latest known instant is listed as not seen.
CREATE OR REPLACE MACRO kpi_part.midnights(window_start, window_end, grain, "by", known_at) AS TABLE
SELECT p.facility, p.period_start, p.period_end, b.starts_at AS midnight,
       coalesce(b.starts_at < p.seen_to, false) AS seen
FROM kpi_part.periods(window_start, window_end, grain, "by", known_at) p
JOIN kpi_part.boundaries(window_start, window_end, 'day', "by", known_at) b
  ON b.zone = p.zone AND b.starts_at >= p.period_start AND b.starts_at < p.period_end;
