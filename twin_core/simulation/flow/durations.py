"""How long something takes, as a file says it: a family with its mean, quantiles, or observations.

Every duration names its `unit`; hours where it does not.
"""

import math
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from twin_core.simulation.model import Part, Share

HOURS_PER = {"minutes": 1 / 60, "hours": 1.0, "days": 24.0}
FAMILIES = ("exponential", "lognormal", "gamma", "weibull", "normal")
Family = Literal["exponential", "lognormal", "gamma", "weibull", "normal"]
_FORMS = ("exactly", "mean", "median", "scale", "between", "observed", "quantiles", "mix")
_IN_UNITS = ("exactly", "mean", "sd", "median", "p90", "scale", "mode", "tail_mean", "plus")
_LISTS_IN_UNITS = ("between", "observed", "quantiles")


class Duration(Part):
    """A length of time that differs from patient to patient, in exactly one of these forms.

    - `exactly = 30`
    - `family = "exponential"`, `mean = 4`; with `sd` or `cv` for lognormal, gamma and normal
    - `median = 3`, with `p90` or `sigma` (a lognormal, as a `Spread`)
    - `family = "weibull"`, `shape = 1.4`, `scale = 20`
    - `between = [2, 6]` (uniform), with `mode` a triangle
    - `observed = [1.5, 2, 7]`, with `weights` where they do not count alike
    - `quantiles = [0, 2, 9]` at the probabilities `at = [0, 0.5, 1]`, evenly spaced without;
      straight lines between; `tail_mean` adds an exponential tail beyond the last
    - `mix = [{ share = 0.3, mean = 2, family = "exponential" }, ...]`

    `plus` is added to each: what is never shorter, such as ten minutes at the desk.
    """

    unit: Literal["minutes", "hours", "days"] = "hours"
    family: Family | None = None
    exactly: float | None = Field(None, ge=0)
    mean: float | None = None
    sd: float | None = Field(None, ge=0)
    cv: float | None = Field(None, ge=0)
    median: float | None = Field(None, gt=0)
    p90: float | None = Field(None, gt=0)
    sigma: float | None = Field(None, ge=0)
    shape: float | None = Field(None, gt=0)
    scale: float | None = Field(None, gt=0)
    between: tuple[float, float] | None = None
    mode: float | None = None
    observed: tuple[float, ...] | None = None
    weights: tuple[float, ...] | None = None
    quantiles: tuple[float, ...] | None = None
    at: tuple[float, ...] | None = None
    tail_mean: float | None = Field(None, gt=0)
    mix: tuple["Ingredient", ...] | None = None
    plus: float = Field(0.0, ge=0)

    @property
    def hours(self) -> float:
        """Hours in one of its unit."""
        return HOURS_PER[self.unit]

    @field_validator("observed", "quantiles", "weights")
    @classmethod
    def _of_values(cls, values: tuple[float, ...] | None) -> tuple[float, ...] | None:
        if values is not None and (
            not values or not all(math.isfinite(value) and value >= 0 for value in values)
        ):
            raise ValueError("needs values, none of them negative")
        return values

    @model_validator(mode="after")
    def _one_form(self) -> Self:
        given = [form for form in _FORMS if getattr(self, form) is not None]
        if len(given) != 1:
            raise ValueError(f"give exactly one of {', '.join(_FORMS)}; here: {given or 'none'}")
        numbers = (self.exactly, self.mean, self.sd, self.cv, self.median, self.p90, self.sigma)
        more = (self.shape, self.scale, self.mode, self.tail_mean, self.plus, *(self.between or ()))
        if not all(math.isfinite(n) for n in (*numbers, *more) if n is not None):
            raise ValueError("every number is finite")
        getattr(self, f"_check_{given[0]}", lambda: None)()
        return self

    def _check_mean(self) -> None:
        assert self.mean is not None  # noqa: S101
        if self.family is None:
            raise ValueError(f"a mean needs a family: {', '.join(FAMILIES)}")
        if self.mean <= 0 and self.family != "normal":
            raise ValueError("the mean must be greater than 0")
        if self.family == "weibull" and self.shape is None:
            raise ValueError("a weibull with a mean needs its shape")
        spreads = [spread for spread in (self.sd, self.cv) if spread is not None]
        wanted = {"exponential": 0, "weibull": 0}.get(self.family, 1)
        if len(spreads) != wanted:
            raise ValueError(
                f"a {self.family} takes {'sd or cv' if wanted else 'neither sd nor cv'}"
            )

    def _check_median(self) -> None:
        assert self.median is not None  # noqa: S101
        if (self.p90 is None) == (self.sigma is None):
            raise ValueError("a median needs p90 or sigma")
        if self.p90 is not None and self.p90 < self.median:
            raise ValueError("p90 lies below the median")
        if self.family not in (None, "lognormal"):
            raise ValueError("a median with p90 or sigma is a lognormal")

    def _check_scale(self) -> None:
        if self.family not in ("weibull", "gamma") or self.shape is None:
            raise ValueError("scale and shape describe a weibull or a gamma")

    def _check_between(self) -> None:
        assert self.between is not None  # noqa: S101
        low, high = self.between
        if not 0 <= low <= high:
            raise ValueError("between needs a low and a higher value, none negative")
        if self.mode is not None and not low <= self.mode <= high:
            raise ValueError("the mode lies outside")

    def _check_observed(self) -> None:
        if self.weights is not None and (
            len(self.weights) != len(self.observed or ()) or sum(self.weights) <= 0
        ):
            raise ValueError("weights need one number for every observation")

    def _check_quantiles(self) -> None:
        values, at = self.quantiles or (), self.at
        if len(values) < 2 or list(values) != sorted(values):
            raise ValueError("quantiles need two or more values, rising")
        if at is None:
            return
        if len(at) != len(values) or list(at) != sorted(set(at)) or at[0] != 0:
            raise ValueError("`at` needs one probability for every quantile, rising from 0")
        if at[-1] > 1 or (at[-1] < 1) == (self.tail_mean is None):
            raise ValueError("`at` ends at 1, or below 1 with a tail_mean")

    def _check_mix(self) -> None:
        if abs(sum(part.share for part in self.mix or ()) - 1) > 1e-6:
            raise ValueError("the shares of a mix add up to 1")
        if any(part.mix for part in self.mix or ()):
            raise ValueError("a mix is not made of mixes")
        if self.plus:
            raise ValueError("`plus` belongs to what is mixed")


class Ingredient(Duration):
    """One of the durations of a mix, and how often it is the one."""

    share: Share = Field(gt=0, le=1)


Duration.model_rebuild()


def scaled(duration: Duration, factor: float) -> Duration:
    """The same duration, every value of it `factor` times as long."""
    longer: dict[str, object] = {
        name: factor * value for name in _IN_UNITS if (value := getattr(duration, name)) is not None
    }
    for name in _LISTS_IN_UNITS:
        if (values := getattr(duration, name)) is not None:
            longer[name] = tuple(factor * value for value in values)
    if duration.mix is not None:
        longer["mix"] = tuple(scaled(part, factor) for part in duration.mix)
    return duration.model_copy(update=longer)
