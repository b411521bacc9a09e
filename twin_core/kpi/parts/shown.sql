-- Which group a row belongs to: the facility, unit or class that `by` keeps, a wildcard for the rest.
-- A building stands in the place of its units: kpi_part.building_of is made from [kpi] buildings.
-- '*' stands for the hospital as a whole, '' for a facility, unit or class nobody named.
CREATE OR REPLACE MACRO kpi_part.group_facility("by", place) AS
    CASE WHEN "by" IN ('facility', 'building', 'unit') THEN coalesce(place, '') ELSE '*' END;
CREATE OR REPLACE MACRO kpi_part.group_unit("by", place) AS
    CASE "by" WHEN 'unit' THEN coalesce(place, '')
              WHEN 'building' THEN coalesce(kpi_part.building_of(place), '') ELSE '*' END;
CREATE OR REPLACE MACRO kpi_part.group_class("by", code) AS
    CASE WHEN "by" = 'class' THEN coalesce(code, 'unknown') ELSE '*' END;
-- Whether rows are told apart by what belongs to the visit or its patient; see patients_by.
CREATE OR REPLACE MACRO kpi_part.by_patient("by") AS "by" IN ('service', 'age_band', 'arrival_mode');
-- How a group is shown: NULL where it was aggregated away or never named.
CREATE OR REPLACE MACRO kpi_part.shown(place) AS nullif(nullif(place, '*'), '');
-- Ratios are sums over sums; without a known, positive denominator there is no ratio.
CREATE OR REPLACE MACRO kpi_part.ratio(above, below) AS
    CASE WHEN below > 0 THEN above::DOUBLE / below END;
CREATE OR REPLACE MACRO kpi_part.hours(first_at, last_at) AS
    (epoch_us(last_at) - epoch_us(first_at)) / 3600000000.0;
-- Time elapsed, by the clock that never changes: whether so many minutes have passed, or more than
-- those, and the instant after which they have. To add an interval to an instant, or to take two
-- instants from each other, would ask the session's time zone for every row, at a hundred times the
-- cost.
CREATE OR REPLACE MACRO kpi_part.lasted(first_at, last_at, minutes) AS
    epoch_us(last_at) - epoch_us(first_at) >= minutes * 60000000::BIGINT;
CREATE OR REPLACE MACRO kpi_part.exceeded(first_at, last_at, minutes) AS
    epoch_us(last_at) - epoch_us(first_at) > minutes * 60000000::BIGINT;
CREATE OR REPLACE MACRO kpi_part.later(instant, minutes) AS
    make_timestamptz(epoch_us(instant) + minutes * 60000000::BIGINT);
-- Whose census an encounter belongs to: inpatients, and those counted apart from them.
CREATE OR REPLACE MACRO kpi_part.patient_group(code) AS
    CASE WHEN code IN ('IMP', 'ACUTE', 'NONAC') THEN 'inpatient' WHEN code = 'OBSENC' THEN 'observation'
         WHEN code = 'EMER' THEN 'emergency' WHEN code IS NULL THEN 'unknown' ELSE 'other' END;
-- What was charted in the wrong order took no time. greatest() would make an unknown time zero.
CREATE OR REPLACE MACRO kpi_part.not_negative(minutes) AS
    CASE WHEN minutes < 0 THEN 0 ELSE minutes END;
