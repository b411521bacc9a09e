"""Chance without a state: the n-th number of a stream is a hash of the stream's key and n.

So a patient of a stream has the same fate in every scenario, whoever else is there, and a
replication is the same on any thread. The hash is the output function of SplitMix64 (Steele, Lea
and Flood 2014); the normal quantile is Wichura's algorithm AS 241 (1988), good to 1e-16.
"""

import math
from typing import Any

import numpy as np

from twin_core.simulation.kernel.compiled import inlined

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_FIRST = np.uint64(0xBF58476D1CE4E5B9)
_SECOND = np.uint64(0x94D049BB133111EB)
_UNIT = 1.0 / 9007199254740992.0
_CENTRAL_OVER = (
    3.3430575583588128105e4,
    6.7265770927008700853e4,
    4.5921953931549871457e4,
    1.3731693765509461125e4,
    1.9715909503065514427e3,
    1.3314166789178437745e2,
    3.3871328727963666080e0,
)
_CENTRAL_UNDER = (
    2.8729085735721942674e4,
    3.9307895800092710610e4,
    2.1213794301586595867e4,
    5.3941960214247511077e3,
    6.8718700749205790830e2,
    4.2313330701600911252e1,
    1.0,
)
_MIDDLE_OVER = (
    2.27238449892691845833e-2,
    2.41780725177450611770e-1,
    1.27045825245236838258e0,
    3.64784832476320460504e0,
    5.76949722146069140550e0,
    4.63033784615654529590e0,
    1.42343711074968357734e0,
)
_MIDDLE_UNDER = (
    5.47593808499534494600e-4,
    1.51986665636164571966e-2,
    1.48103976427480074590e-1,
    6.89767334985100004550e-1,
    1.67638483018380384940e0,
    2.05319162663775882187e0,
    1.0,
)
_FAR_OVER = (
    2.71155556874348757815e-5,
    1.24266094738807843860e-3,
    2.65321895265761230930e-2,
    2.96560571828504891230e-1,
    1.78482653991729133580e0,
    5.46378491116411436990e0,
    6.65790464350110377720e0,
)
_FAR_UNDER = (
    1.42151175831644588870e-7,
    1.84631831751005468180e-5,
    7.86869131145613259100e-4,
    1.48753612908506148525e-2,
    1.36929880922735805310e-1,
    5.99832206555887937690e-1,
    1.0,
)
DRAWS_PER_VISIT = 64
ROUTE, LENGTH_OF_STAY, PATIENCE, IMPATIENT, BALK, HOUR, CLEANING, LATENESS, SHOWS, KEPT = range(10)
SUB = 16
"""Draws from here on belong to the mixes and rejections of other draws of a visit."""


@inlined
def mixed(key: int, number: int) -> int:
    """The `number`-th 64 bits of the stream `key`, both unsigned."""
    z = np.uint64(key) + (np.uint64(number) + np.uint64(1)) * _GOLDEN
    z = (z ^ (z >> np.uint64(30))) * _FIRST
    z = (z ^ (z >> np.uint64(27))) * _SECOND
    return z ^ (z >> np.uint64(31))  # type: ignore[return-value]


@inlined
def uniform(key: int, number: int) -> float:
    """A number above 0 and below 1."""
    return (float(mixed(key, number) >> np.uint64(11)) + 0.5) * _UNIT


@inlined
def drawn(patient: Any, purpose: int) -> float:
    """The chance of a patient (a PATIENT record) for one purpose of the present visit."""
    return uniform(patient.key, patient.visit * DRAWS_PER_VISIT + purpose)


@inlined
def normal_quantile(p: float) -> float:
    """The standard normal quantile; minus infinity at 0, infinity at 1."""
    if p <= 0.0:
        return -math.inf
    if p >= 1.0:
        return math.inf
    q = p - 0.5
    if abs(q) <= 0.425:
        r = 0.180625 - q * q
        return q * _central(r)
    r = math.sqrt(-math.log(p if q < 0.0 else 1.0 - p))
    x = _middle(r - 1.6) if r <= 5.0 else _far(r - 5.0)
    return -x if q < 0.0 else x


@inlined
def _central(r: float) -> float:
    over = 2.5090809287301226727e3
    under = 5.2264952788528545610e3
    for a in _CENTRAL_OVER:
        over = over * r + a
    for b in _CENTRAL_UNDER:
        under = under * r + b
    return over / under


@inlined
def _middle(r: float) -> float:
    over = 7.74545014278341407640e-4
    under = 1.05075007164441684324e-9
    for c in _MIDDLE_OVER:
        over = over * r + c
    for d in _MIDDLE_UNDER:
        under = under * r + d
    return over / under


@inlined
def _far(r: float) -> float:
    over = 2.01033439929228813265e-7
    under = 2.04426310338993978564e-15
    for e in _FAR_OVER:
        over = over * r + e
    for f in _FAR_UNDER:
        under = under * r + f
    return over / under
