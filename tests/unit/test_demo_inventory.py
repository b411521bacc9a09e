"""The demo hospital's Locations and Devices are proper FHIR R4, and name its beds."""

from datetime import UTC, datetime

import pytest
from fhir.resources.R4B.bundle import Bundle

from api.demo.inventory import bed_id, bundles, devices, locations
from twin_core.simulation.model import load_hospital

RIVERSIDE = load_hospital("riverside")
AT = datetime(2026, 3, 1, tzinfo=UTC)


def test_every_bed_is_a_location_below_room_unit_building_and_site():
    known = {}
    for location in locations(RIVERSIDE, AT):
        parent = location.get("partOf", {}).get("reference", "").removeprefix("Location/")
        assert not parent or parent in known
        known[location["id"]] = (parent, location["physicalType"]["coding"][0]["code"])
    for unit in RIVERSIDE.units:
        for place in unit.places(RIVERSIDE.code):
            chain, at = [], bed_id(place)
            while at:
                at, kind = known[at]
                chain.append(kind)
            assert chain == ["bd", "ro", "wa", "bu", "si"]


def test_beds_are_identified_by_facility_unit_room_and_bed():
    values = {
        location["identifier"][0]["value"]
        for location in locations(RIVERSIDE, AT)
        if location["physicalType"]["coding"][0]["code"] == "bd"
    }
    assert values == {
        "/".join((p.facility, p.unit, p.room, p.bed))
        for unit in RIVERSIDE.units
        for p in unit.places(RIVERSIDE.code)
    }


def test_devices_stand_where_there_is_a_location():
    places = {f"Location/{location['id']}" for location in locations(RIVERSIDE, AT)}
    stock = list(devices(RIVERSIDE, AT))
    assert len({device["id"] for device in stock}) == len(stock)
    assert {device["location"]["reference"] for device in stock} <= places
    kinds = {device["type"]["coding"][0]["code"] for device in stock}
    assert kinds == {"monitor", "infusion-pump", "ventilator"}


@pytest.mark.parametrize("resources", [locations, devices])
def test_the_judge_accepts_every_bundle(resources):
    stated = list(resources(RIVERSIDE, AT))
    judged = [Bundle.model_validate(bundle) for bundle in bundles(iter(stated))]
    assert sum(len(bundle.entry) for bundle in judged) == len(stated)
    assert {bundle.type for bundle in judged} == {"transaction"}
