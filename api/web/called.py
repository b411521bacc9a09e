"""What codes are called on a ward: classes of visits, parts of figures, milestones.

The codes are those of standards and of the store; what a site brings of its own is shown as it is
written there, without its underscores.
"""

from api.web.reader import t

CLASSES = {
    "IMP": "inpatient",
    "ACUTE": "acute inpatient",
    "NONAC": "non-acute inpatient",
    "EMER": "emergency",
    "AMB": "outpatient",
    "OBSENC": "observation",
    "PRENC": "pre-admission",
    "SS": "short stay",
    "HH": "home health",
    "VR": "virtual",
    "FLD": "in the field",
}
"""Classes of visits, HL7 v3 ActCode."""
STATISTICS = {
    "admissions": "admissions",
    "at_end": "at the end",
    "census_after": "census after",
    "census_before": "census before",
    "count": "count",
    "deaths": "deaths",
    "difference": "difference",
    "discharges": "discharges",
    "gap_hours": "hours of gaps",
    "max": "highest",
    "mean": "mean",
    "mean_nights": "mean nights",
    "mean_without_leave": "mean without leave",
    "median": "median",
    "net": "net",
    "p90": "90th percentile",
    "peak_at": "time of the peak",
    "rate": "rate",
    "ratio": "ratio",
    "seconds_since_last": "seconds since the last",
    "share": "share",
    "share_3_plus": "share of 3 or more",
    "share_within": "share within the limit",
    "total": "total",
    "transfers_in": "transfers in",
    "transfers_out": "transfers out",
    "unreconciled": "unreconciled",
}
"""What a KPI makes of its rows."""
STRATA = {
    "14_plus": "14 days or longer",
    "21_plus": "21 days or longer",
    "4_to_12": "4 to 12 hours",
    "admitted": "admitted",
    "adult": "adults",
    "adult_mental_health": "adults, mental health",
    "against_advice": "left against advice",
    "before_arrival": "seen before the arrival",
    "boarded_over_240": "boarded over 240 min",
    "cancelled": "cancelled",
    "child": "children",
    "child_mental_health": "children, mental health",
    "cleaning": "being cleaned",
    "conflict": "two patients",
    "day_case": "day cases",
    "dirty": "waiting to be cleaned",
    "emergency": "emergency",
    "first_request": "from the first request",
    "late_cancel": "cancelled on the day",
    "late_charting": "charted late",
    "left_unseen": "left unseen",
    "newborn": "newborns",
    "no_bay": "in no bay",
    "not_admitted": "not admitted",
    "not_clean": "not clean",
    "observation": "observation",
    "of_all_booked": "of all booked",
    "on_leave": "on leave",
    "open": "still open",
    "other": "other",
    "over_480_in_ed": "over 480 min in the ED",
    "over_60_to_room": "over 60 min to a room",
    "over_run": "overrun",
    "provisional": "provisional",
    "psychiatric": "psychiatric",
    "reserved": "reserved",
    "transferred": "transferred",
    "unknown": "unknown",
}
"""What a KPI shows apart."""
MILESTONES = {
    "bed_requested": "bed requested",
    "bed_assigned": "bed assigned",
    "decision_to_admit": "decision to admit",
    "discharge_planned": "discharge planned",
    "discharge_ready": "ready for discharge",
    "triaged": "triaged",
    "seen_by_provider": "seen by a clinician",
}
"""Instants of a visit."""
_CALLED = {**STATISTICS, **STRATA, **MILESTONES, **CLASSES}


def called(code: str | None) -> str:
    """A code in the reader's words, `IMP` as `inpatient`; nothing where there is none."""
    if not code:
        return ""
    return t(_CALLED[code]) if code in _CALLED else code.replace("_", " ")
