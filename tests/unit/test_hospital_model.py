"""The hospital described in TOML: what a charge nurse wrote is what the simulation gets."""

from random import Random

import pytest

from twin_core.errors import ConfigurationError
from twin_core.simulation.model import Spread, hospital_names, load_hospital

RIVERSIDE = load_hospital("riverside")


def test_riverside_is_a_hospital_of_about_four_hundred_beds():
    beds = [p for u in RIVERSIDE.units if u.kind != "lounge" for p in u.places("RIVERSIDE")]
    assert 380 <= len(beds) <= 430
    assert len(set(beds)) == len(beds)
    kinds = [unit.kind for unit in RIVERSIDE.units]
    assert kinds.count("ward") == 8
    assert {"emergency", "intensive", "theatre"} <= set(kinds)
    assert "riverside" in hospital_names()


def test_rooms_and_beds_are_named_as_written():
    ward = RIVERSIDE.unit("MED")
    places = list(ward.places("RIVERSIDE"))
    assert (places[0].room, places[0].bed) == ("101", "A")
    assert (places[4].room, places[4].bed, places[5].bed) == ("105", "A", "B")
    assert {p.facility for p in places} == {"RIVERSIDE"}


@pytest.mark.parametrize("p90", [6.0, 11.0])
def test_a_spread_has_the_median_and_the_long_value_it_names(p90):
    spread, chance = Spread(median=3.0, p90=p90), Random(5)
    drawn = sorted(spread.draw(chance) for _ in range(20_000))
    assert drawn[10_000] == pytest.approx(3.0, rel=0.05)
    assert drawn[18_000] == pytest.approx(p90, rel=0.05)


def test_stays_found_under_way_are_longer_than_stays_begun():
    spread, chance = Spread(median=3.0, p90=9.0), Random(5)
    begun = [spread.draw(chance) for _ in range(5_000)]
    under_way = [spread.draw_ongoing(chance) for _ in range(5_000)]
    # A stay is met in proportion to its length: E[X^2] / E[X].
    expected = sum(x * x for x in begun) / sum(begun)
    assert sum(under_way) / len(under_way) == pytest.approx(expected, rel=0.2)


def test_a_hospital_that_sends_patients_to_nowhere_is_refused(tmp_path):
    text = RIVERSIDE.model_dump()
    text["emergency"]["admitted_to"]["NOWHERE"] = 0.1
    with pytest.raises(ValueError, match="unknown units: NOWHERE"):
        type(RIVERSIDE).model_validate(text)
    broken = tmp_path / "broken.toml"
    broken.write_text('code = "X"\nnonsense = 1\n')
    with pytest.raises(ConfigurationError, match="does not describe a hospital"):
        load_hospital(broken)


def test_a_hospital_that_is_not_there_is_named_with_those_that_are(tmp_path):
    with pytest.raises(ConfigurationError, match="riverside"):
        load_hospital(tmp_path / "none.toml")
