"""Who asks: a person, a client system or a key, with roles, scopes and units of their own."""

from typing import Literal

import msgspec

from api.access.reach import EVERYWHERE, Reach
from api.access.roles import PERMISSIONS, permissions_of
from api.access.scopes import Scope
from twin_core.audit import Actor

Kind = Literal["person", "client", "key", "local"]


class Principal(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody who has shown who they are."""

    id: str
    kind: Kind
    name: str = ""
    roles: tuple[str, ...] = ()
    scopes: tuple[Scope, ...] = ()
    """SMART scopes that grant something here."""
    fhir_by_scope: bool = False
    """Whether scopes alone decide about FHIR, because the token speaks of it."""
    facilities: tuple[str, ...] = ()
    """Rows of these facilities only; of all where both are empty."""
    units: tuple[str, ...] = ()
    """Rows of these units only, as `FACILITY/UNIT`; a unit alone is that of every facility."""
    granted: frozenset[str] = frozenset()
    """Permissions beyond those of the roles: broken glass, or everything without access control."""

    def permissions(self) -> frozenset[str]:
        """Everything this principal may do."""
        return permissions_of(self.roles) | self.granted

    def may(self, permission: str) -> bool:
        """Whether this principal has a permission."""
        return permission in self.permissions()

    def is_row_scoped(self) -> bool:
        """Whether only rows of some facilities or units are theirs."""
        return bool(self.facilities or self.units) and "every:unit" not in self.granted

    @property
    def reach(self) -> Reach:
        """Which rows are theirs."""
        return Reach(self.facilities, self.units) if self.is_row_scoped() else EVERYWHERE

    def actor(self) -> Actor:
        """How the ledger names them."""
        return Actor(id=self.id, kind=self.kind, name=self.name, roles=self.roles)


LOCAL = Principal(id="loopback", kind="local", granted=frozenset(PERMISSIONS))
"""Whoever is on this machine, where access control is not configured."""
