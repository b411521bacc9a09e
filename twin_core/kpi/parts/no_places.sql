-- The rows that a KPI owes whose input is a feed of its own that a site may not have: none, so that
-- a hospital without that feed shows nothing instead of an empty figure.
CREATE OR REPLACE MACRO kpi_part.no_places(window_start, window_end, "by", known_at) AS TABLE
SELECT '*' AS in_facility, '*' AS in_unit, '*' AS in_class WHERE false;
