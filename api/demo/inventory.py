"""The demo hospital's Locations and Devices as FHIR R4, and its own census counts."""

import json
from collections.abc import Iterable, Iterator
from datetime import datetime
from itertools import islice
from typing import Any

import httpx

from api.demo.plan import BEDS, identifier_systems
from twin_core.errors import FeedError
from twin_core.identifiers import Place
from twin_core.simulation.model import Hospital

SOURCE = "demo"
CENSUS_SOURCE = "demo-pas"
BATCH = 200
NOT_FOUND = 404
FIRST_FAILURE = 400
_PHYSICAL_TYPES = "http://terminology.hl7.org/CodeSystem/location-physical-type"
_BED_STATUSES = "http://terminology.hl7.org/CodeSystem/v2-0116"
_DEVICE_TYPES = "https://demo.example/device-types"
_MONITOR = ("monitor", "Vital signs monitor")
_PUMP = ("infusion-pump", "Infusion pump")
_VENTILATOR = ("ventilator", "Intensive care ventilator")
_EQUIPMENT = {
    "emergency": (_MONITOR,),
    "intensive": (_MONITOR, _PUMP, _PUMP, _VENTILATOR),
    "theatre": (_MONITOR, _VENTILATOR),
}
"""Devices per bed, by kind of unit; wards share theirs."""
_PUMPS_PER_WARD = 6

Resource = dict[str, Any]


def locations(model: Hospital, at: datetime) -> Iterator[Resource]:
    """Site, building, units, rooms and beds, each after what it is part of."""
    site, building = f"{model.code}", f"{model.code}-MAIN"
    yield _location(model, site, model.name, "si", None, at, "Site")
    yield _location(model, building, model.building, "bu", site, at, "Building")
    for unit in model.units:
        unit_id = f"{model.code}-{unit.code}"
        yield _location(model, unit_id, unit.name, "wa", building, at, "Ward", unit.code)
        rooms = set()
        for place in unit.places(model.code):
            room_id = f"{unit_id}-{place.room}"
            if room_id not in rooms:
                rooms.add(room_id)
                name = f"{unit.name}, room {place.room}"
                path = f"{unit.code}/{place.room}"
                yield _location(model, room_id, name, "ro", unit_id, at, "Room", path)
            yield _bed(model, place, room_id, at)


def devices(model: Hospital, at: datetime) -> Iterator[Resource]:
    """Monitors, pumps and ventilators: at the bed in critical areas, shared on wards."""
    for unit in model.units:
        kinds = _EQUIPMENT.get(unit.kind, ())
        for place in unit.places(model.code):
            for number, kind in enumerate(kinds, 1):
                yield _device(f"{bed_id(place)}-{number}", kind, bed_id(place), at)
        if unit.kind == "ward":
            for number in range(1, _PUMPS_PER_WARD + 1):
                unit_id = f"{model.code}-{unit.code}"
                yield _device(f"{unit_id}-PUMP{number}", _PUMP, unit_id, at)


def bundles(resources: Iterable[Resource], size: int = BATCH) -> Iterator[Resource]:
    """Transaction Bundles that put the resources under their own ids."""
    rest = iter(resources)
    while entries := [
        {
            "fullUrl": f"https://demo.example/fhir/{r['resourceType']}/{r['id']}",
            "resource": r,
            "request": {"method": "PUT", "url": f"{r['resourceType']}/{r['id']}"},
        }
        for r in islice(rest, size)
    ]:
        yield {"resourceType": "Bundle", "type": "transaction", "entry": entries}


def bed_id(place: Place) -> str:
    """The FHIR id of a bed."""
    return f"{place.facility}-{place.unit}-{place.room}-{place.bed}"


async def post_inventory(client: httpx.AsyncClient, model: Hospital, at: datetime) -> int:
    """Post all Locations, then all Devices; how many resources were accepted.

    Raises FeedError where the endpoint refuses one.
    """
    posted = 0
    for resources in (locations(model, at), devices(model, at)):
        for bundle in bundles(resources):
            answer = await client.post(
                "/fhir/R4",
                params={"source": SOURCE},
                content=json.dumps(bundle),
                headers={"Content-Type": "application/fhir+json"},
            )
            if answer.status_code >= FIRST_FAILURE:
                raise FeedError(
                    "The FHIR endpoint refused the demo's Locations or Devices.",
                    why=f"HTTP {answer.status_code}: {answer.text[:400]}",
                )
            posted += len(bundle["entry"])
    return posted


async def post_census(
    client: httpx.AsyncClient, model: Hospital, at: datetime, census: dict[str, int]
) -> None:
    """Report what the hospital itself counts in each unit; quietly where nobody takes it."""
    counts = [
        {
            "source": CENSUS_SOURCE,
            "facility": model.code,
            "unit": unit.code,
            "at": at.isoformat(),
            "census": census.get(unit.code, 0),
        }
        for unit in model.units
    ]
    answer = await client.post("/v1/census", json=counts)
    if answer.status_code >= FIRST_FAILURE and answer.status_code != NOT_FOUND:
        raise FeedError(
            "The API refused the demo's census.",
            why=f"HTTP {answer.status_code}: {answer.text[:400]}",
        )


def _location(
    model: Hospital,
    identity: str,
    name: str,
    kind: str,
    parent: str | None,
    at: datetime,
    display: str,
    path: str = "",
) -> Resource:
    resource: Resource = {
        "resourceType": "Location",
        "id": identity,
        "meta": {"lastUpdated": at.isoformat(), "versionId": "1"},
        "status": "active",
        "name": name,
        "mode": "instance",
        "physicalType": {"coding": [{"system": _PHYSICAL_TYPES, "code": kind, "display": display}]},
    }
    if path:
        system = identifier_systems(model)[BEDS]
        resource["identifier"] = [{"system": system, "value": f"{model.code}/{path}"}]
    if parent is not None:
        resource["partOf"] = {"reference": f"Location/{parent}"}
    return resource


def _bed(model: Hospital, place: Place, room_id: str, at: datetime) -> Resource:
    name = f"{place.unit} {place.room} {place.bed}"
    path = f"{place.unit}/{place.room}/{place.bed}"
    resource = _location(model, bed_id(place), name, "bd", room_id, at, "Bed", path)
    resource["operationalStatus"] = {
        "system": _BED_STATUSES, "code": "U", "display": "Unoccupied",
    }  # fmt: skip
    return resource


def _device(identity: str, kind: tuple[str, str], place: str, at: datetime) -> Resource:
    code, name = kind
    return {
        "resourceType": "Device",
        "id": identity,
        "meta": {"lastUpdated": at.isoformat(), "versionId": "1"},
        "identifier": [{"system": "https://demo.example/devices", "value": identity}],
        "status": "active",
        "manufacturer": "Example Instruments",
        "serialNumber": f"SN-{identity}",
        "modelNumber": "Model 1",
        "deviceName": [{"name": name, "type": "user-friendly-name"}],
        "type": {"coding": [{"system": _DEVICE_TYPES, "code": code, "display": name}]},
        "location": {"reference": f"Location/{place}"},
    }
