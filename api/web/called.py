"""What codes are called on a ward: classes of visits, parts of figures, milestones.

The codes are those of standards and of the store; what a site brings of its own is shown as it is
written there, without its underscores.
"""

from collections.abc import Mapping

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
ADMIT_SOURCES = {
    "1": "referred by a physician",
    "2": "referred by a clinic",
    "3": "referred by an insurer",
    "4": "from another hospital",
    "5": "from a nursing home",
    "6": "from another institution",
    "7": "from the emergency department",
    "8": "brought by the police or a court",
    "9": "not known",
    "hosp-trans": "from another hospital",
    "emd": "from the emergency department",
    "outp": "from the outpatient department",
    "born": "born here",
    "gp": "referred by a general practitioner",
    "mp": "referred by a physician",
    "nursing": "from a nursing home",
    "psych": "from a psychiatric hospital",
    "rehab": "from rehabilitation",
    "other": "other",
}
"""Where patients come from: HL7 table 0023, and FHIR's codes."""
DISPOSITIONS = {
    "01": "home",
    "02": "to another hospital",
    "03": "to a nursing home",
    "04": "to intermediate care",
    "05": "to another institution",
    "06": "home with home health",
    "07": "left against advice",
    "08": "home with infusions",
    "09": "admitted here",
    "20": "died",
    "30": "still a patient",
    "40": "died at home",
    "41": "died in an institution",
    "42": "died, place not known",
    "home": "home",
    "alt-home": "to another home",
    "other-hcf": "to another institution",
    "hosp": "to a hospice",
    "long": "to long-term care",
    "aadvice": "left against advice",
    "exp": "died",
    "psy": "to a psychiatric hospital",
    "rehab": "to rehabilitation",
    "snf": "to a nursing home",
    "oth": "other",
}
"""Where patients go: HL7 table 0112, whose values are a suggestion to sites, and FHIR's codes."""
_CALLED = {**STATISTICS, **STRATA, **MILESTONES, **CLASSES}


def called(code: str | None) -> str:
    """A code in the reader's words, `IMP` as `inpatient`; nothing where there is none."""
    if not code:
        return ""
    return t(_CALLED[code]) if code in _CALLED else code.replace("_", " ")


def came_from(code: str | None) -> str:
    """An admit source with its word, `7` as `from the emergency department (7)`."""
    return _beside(code, ADMIT_SOURCES)


def went_to(code: str | None) -> str:
    """A disposition with its word, `01` as `home (01)`."""
    return _beside(code, DISPOSITIONS)


def _beside(code: str | None, words: Mapping[str, str]) -> str:
    """The word and its code: sites may mean something else by one, so that it stays in sight."""
    if not code:
        return ""
    return f"{t(words[code])} ({code})" if code in words else code
