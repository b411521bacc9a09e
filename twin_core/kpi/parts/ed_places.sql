-- The rows that a KPI of emergency departments owes: every ED, so that an ED where nothing happened
-- is a row of its own. in_class is '*': all of them are EMER.
CREATE OR REPLACE MACRO kpi_part.ed_places(window_start, window_end, "by", known_at) AS TABLE
SELECT DISTINCT kpi_part.group_facility("by", facility) AS in_facility,
       kpi_part.group_unit("by", unit) AS in_unit, '*' AS in_class
FROM kpi_part.ed_units(known_at) WHERE NOT kpi_part.by_patient("by");
