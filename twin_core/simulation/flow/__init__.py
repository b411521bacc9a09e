"""A hospital as data: units, staff, theatres, classes, arrivals, routes, lengths of stay."""
