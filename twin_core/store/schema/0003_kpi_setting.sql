-- What the KPIs must know of a site that no message says: settings of section [kpi], one row for
-- each item of a list; key is the unit where a setting is a table of units.
CREATE TABLE core.kpi_setting (name VARCHAR, key VARCHAR, value VARCHAR);
