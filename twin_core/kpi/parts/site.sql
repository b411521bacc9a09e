-- What the site has set in section [kpi]: whether a list has an item, and a single value.
CREATE OR REPLACE MACRO kpi_part.listed(setting, item) AS
    coalesce(item IN (SELECT value FROM core.kpi_setting WHERE name = setting), false);
CREATE OR REPLACE MACRO kpi_part.setting(setting) AS
    (SELECT max(value) FROM core.kpi_setting WHERE name = setting);
