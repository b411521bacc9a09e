"""Units of measure: what is UCUM, and what the units of IEEE 11073-10101 (MDC) are in it."""

import re

UCUM = "http://unitsofmeasure.org"

_PREFIXES = "Y Z E P T G M k h da d c m u n p f a z y Ki Mi Gi Ti".split()
_METRIC = frozenset(
    "m s g rad K C cd mol sr Hz N Pa J W A V F Ohm S Wb Cel T H lm lx Bq Gy Sv l L ar t bar u eV pc"
    " cal g% kat U eq osm [IU] [iU] cal_IT cal_th [Ca] Ci R REM RAD dyn erg P St G Oe Gb Mx B m[Hg]"
    " m[H2O] B[SPL] B[V] mho bit By Bd st tex [g] [e] [h] [k] [c] gf".split()
)
_PLAIN = frozenset(
    "10* 10^ % [ppth] [ppm] [ppb] [pptr] [pi] min h d wk mo a mo_j a_j deg ' '' gon [pH] [degF]"
    " [in_i] [ft_i] [yd_i] [mi_i] [in_us] [lb_av] [oz_av] [gr] [stone_av] [gal_us] [qt_us] [pt_us]"
    " [foz_us] [cup_us] [tbs_us] [tsp_us] [drp] [diop] [HPF] [LPF] [arb'U] [USP'U] [CFU] [PFU]"
    " [EIA'U] [ELU] [GPL'U] [MPL'U] [APL'U] [MET] [bdsk'U] [hnsf'U] [tb'U] [knk'U] [beth'U] [BAU]"
    " [Ch] [psi] [car_m] [APU] [anti'Xa'U] [AMB'a'1'U] [in_i'H2O] [in_i'Hg] [Btu] [PRU] [wood'U]"
    " [p'diop] [todd'U] [dye'U] [smgy'U] [D'ag'U] [FEU] [CCID_50] [TCID_50] [EID_50] [LD_50] [Cal]"
    " [HP] [cicero] [m/s2/Hz^0.5]".split()
)
_ATOMS = _PLAIN | _METRIC | {prefix + atom for prefix in _PREFIXES for atom in _METRIC}
_COMPONENT = re.compile(r"(?P<body>[^{}]*)(?:\{[!-z|~]{0,60}\})?", re.ASCII)
_POWER = re.compile(r"(?P<atom>10[*^]|\D+)[+-]?\d{1,3}", re.ASCII)
_OPERATOR = re.compile(r"[./](?![^{]*\})")
_LONGEST = 100


def valid_ucum(unit: str) -> bool:
    """Whether a unit reads as a case-sensitive UCUM expression: `mmol/L`, `10*3/uL`, `{beats}/min`.

    The common atoms are known; parentheses are taken as grouping.
    """
    if not unit or len(unit) > _LONGEST or unit.count("(") != unit.count(")"):
        return False
    parts = _OPERATOR.split(unit.removeprefix("/"))
    return all(_is_component(part.strip("()")) for part in parts)


def _is_component(part: str) -> bool:
    found = _COMPONENT.fullmatch(part)
    if found is None or not part:
        return False
    body = found["body"]
    if not body or body in _ATOMS or (body.isdecimal() and body.isascii()):
        return True
    powered = _POWER.fullmatch(body)
    return powered is not None and powered["atom"] in _ATOMS


_MDC_PREFIXES = {
    # IEEE 11073-10101 A.4: prefix of a unit's name, offset of its code -> UCUM prefix.
    "X": ("", 0),
    "DECA": ("da", 1),
    "HECTO": ("h", 2),
    "KILO": ("k", 3),
    "MEGA": ("M", 4),
    "GIGA": ("G", 5),
    "TERA": ("T", 6),
    "DECI": ("d", 16),
    "CENTI": ("c", 17),
    "MILLI": ("m", 18),
    "MICRO": ("u", 19),
    "NANO": ("n", 20),
    "PICO": ("p", 21),
    "FEMTO": ("f", 22),
}
_MDC_WORDS = {
    # The parts of which names of MDC units are made -> UCUM atoms.
    "DIMLESS": "1",
    "PERCENT": "%",
    "PERTHOUSAND": "[ppth]",
    "PPTH": "[ppth]",
    "PPM": "[ppm]",
    "G": "g",
    "GM": "g",
    "LB": "[lb_av]",
    "OZ": "[oz_av]",
    "M": "m",
    "FOOT": "[ft_i]",
    "INCH": "[in_i]",
    "L": "L",
    "SEC": "s",
    "MIN": "min",
    "HR": "h",
    "DAY": "d",
    "WEEKS": "wk",
    "WEEK": "wk",
    "MON": "mo",
    "YR": "a",
    "V": "V",
    "VOLT": "V",
    "AMP": "A",
    "AMPS": "A",
    "OHM": "Ohm",
    "W": "W",
    "WATT": "W",
    "J": "J",
    "JOULES": "J",
    "N": "N",
    "NEWTON": "N",
    "HZ": "Hz",
    "PA": "Pa",
    "PASCAL": "Pa",
    "BAR": "bar",
    "DYNE": "dyn",
    "KELVIN": "K",
    "DEGC": "Cel",
    "FAHR": "[degF]",
    "MMHG": "mm[Hg]",
    "DEG": "deg",
    "ANG_DEG": "deg",
    "MOLE": "mol",
    "MOL": "mol",
    "EQUIV": "eq",
    "EQ": "eq",
    "OSM": "osm",
    "INTL_UNIT": "[IU]",
    "CAL": "cal",
    "DECIBEL": "dB",
    "BEAT": "",
    "BEATS": "",
    "RESP": "",
    "BREATH": "",
    "PULSE": "",
    "PULS": "",
    "TICK": "",
    "DROP": "[drp]",
    "CM_H2O": "cm[H2O]",
    "CM_SQ": "cm2",
    "M_SQ": "m2",
    "SQ_M": "m2",
    "M_CUBE": "m3",
    "CM_CUBE": "cm3",
    "PH": "[pH]",
}
_MDC_BASES = {
    # Codes of units without a prefix (262144 is partition 4) -> their names.
    262656: "DIMLESS",
    262688: "PERCENT",
    263424: "M",
    263744: "L",
    263872: "G",
    264320: "SEC",
    264352: "MIN",
    264384: "HR",
    264416: "DAY",
    264864: "BEAT_PER_MIN",
    264928: "RESP_PER_MIN",
    265216: "L_PER_MIN",
    265248: "L_PER_HR",
    266016: "MMHG",
    266048: "CM_H2O",
    266560: "FAHR",
    268192: "DEGC",
}
_MDC_CODED_PREFIXES = {offset: prefix for prefix, offset in _MDC_PREFIXES.values()}


def ucum_of_mdc(code: str, name: str) -> str:
    """The UCUM unit that an MDC unit is, by its name (`MDC_DIM_MMHG`), else by its code; or "".

    Counts of beats, pulses and breaths per minute are `/min`, as FHIR vital signs have them.
    """
    for text in (name, code):
        if text.startswith("MDC_DIM_"):
            meant = _named(text.removeprefix("MDC_DIM_"))
            if meant:
                return meant
    if not code.isdecimal() or len(code) > 6:
        return ""
    number = int(code)
    base, offset = _MDC_BASES.get(number - number % 32, ""), number % 32
    prefix = _MDC_CODED_PREFIXES.get(offset)
    return "" if not base or prefix is None else prefix + _named(base)


def _named(name: str) -> str:
    over, *under = name.split("_PER_")
    parts = [_atom(part) for part in (over, *under)]
    if None in parts:
        return ""
    return "/".join(part for part in parts if part is not None)


def _atom(name: str) -> str | None:
    known = _MDC_WORDS.get(name)
    if known is not None:
        return known
    word, _, rest = name.partition("_")
    if word in _MDC_PREFIXES and rest:
        atom = _MDC_WORDS.get(rest)
        return None if atom is None else _MDC_PREFIXES[word][0] + atom
    return None
