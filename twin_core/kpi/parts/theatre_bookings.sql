-- Operations as booked: appointments in a theatre, with the local day they are planned for and its
-- freeze, the local midnight at which that day's list is fixed.
CREATE OR REPLACE MACRO kpi_part.theatre_bookings(known_at) AS TABLE
SELECT a.appointment_id, a.patient_id, coalesce(a.facility, '') AS facility, a.unit,
       coalesce(a.room, '') AS room, a.status, a.starts_at, a.booked_at, a.cancelled_at, z.zone,
       timezone(z.zone, a.starts_at)::DATE AS planned_on,
       timezone(z.zone, date_trunc('day', timezone(z.zone, a.starts_at))) AS freeze_at
FROM history.appointment(known_at) a
JOIN kpi_part.zones(known_at) z ON z.facility = coalesce(a.facility, '')
WHERE kpi_part.listed('theatres', a.unit) AND a.starts_at IS NOT NULL
  AND coalesce(a.status, '') <> 'entered-in-error';
