"""Named tuples of tables, passed by reference inside the kernel.

Numba's own arrays carry eight numbers each, are counted, read an index below nought from the end,
and may all lie on each other. The kernel's tables do none of that: a table is an address and a
length, a tuple of tables is the address of such pairs, and a row is an address. What is read of a
hospital never changes while it runs, and a field of one table is no field of another: both are
told to the optimiser.
"""

import operator
from hashlib import blake2b
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.imputils import lower_builtin, lower_getattr_generic, lower_setattr_generic
from numba.core.typing.templates import (
    AbstractTemplate,
    AttributeTemplate,
    infer_getattr,
    infer_global,
    signature,
)
from numba.extending import intrinsic, models, register_model

from twin_core.simulation.kernel import layout as lay

_BYTE = ir.IntType(8).as_pointer()
_WORD = ir.IntType(64)
_PAIR = 16
"""Bytes of an address and a length."""


class Reference(types.Type):
    """The address of a named tuple's tables."""

    def __init__(self, of: Any) -> None:
        self.names = of._fields
        lasting = of in lay.LASTING
        self.tables = [Table(of, name, kind, lasting) for name, kind in lay.TABLES[of].items()]
        super().__init__(name=_short(of.__name__, *(table.name for table in self.tables)))


class Table(types.Type):
    """Rows, or numbers, one after another."""

    def __init__(self, of: Any, name: str, kind: Any, lasting: bool) -> None:
        self.item = np.dtype(kind)
        self.lasting, self.label = lasting, f"{of.__name__}.{name}"
        # Numbers that are another table's fields as well may lie on anything.
        self.own = name not in lay.SEEN_TWICE
        super().__init__(name=_short(self.label, str(self.item), str(lasting)))
        self.row: Any = Row(self) if self.item.fields else _seen(self.item)


class Row(types.Type):
    """One row of a table."""

    def __init__(self, of: Table) -> None:
        self.table = of
        super().__init__(name=f"Row{of.name}")

    def field(self, name: str) -> tuple[Any, Any, int]:
        """What a field is seen as, what it is kept as, and where in the row."""
        kind, offset = self.table.item.fields[name][:2]
        return _seen(kind), numba.from_dtype(kind), offset


def _seen(kind: Any) -> Any:
    """Small numbers are seen as large ones, so that functions are compiled for one kind only."""
    return types.int64 if kind == np.dtype("i4") else numba.from_dtype(kind)


def _short(label: str, *content: str) -> str:
    # Names go into every symbol.
    return f"{label}{blake2b(' '.join(content).encode(), digest_size=6).hexdigest()}"


@register_model(Reference)
@register_model(Row)
class _Address(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, _BYTE)


@register_model(Table)
class _Pair(models.StructModel):
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, [("first", types.voidptr), ("count", types.int64)])


# ---- what there is


@infer_getattr
class _Tables(AttributeTemplate):
    key = Reference

    def generic_resolve(self, kind: Any, name: str) -> Any:  # type: ignore[override]
        return kind.tables[kind.names.index(name)] if name in kind.names else None


@infer_getattr
class _Fields(AttributeTemplate):
    key = Row

    def generic_resolve(self, kind: Any, name: str) -> Any:  # type: ignore[override]
        return kind.field(name)[0] if name in kind.table.item.fields else None


@infer_global(operator.getitem)
class _Item(AbstractTemplate):
    def generic(self, args: Any, kws: Any) -> Any:
        of, at = args
        if isinstance(of, Table) and isinstance(at, types.Integer):
            return signature(of.row, of, types.int64)
        return None


@infer_global(operator.setitem)
class _SetItem(AbstractTemplate):
    def generic(self, args: Any, kws: Any) -> Any:
        of, at, _ = args
        if isinstance(of, Table) and not isinstance(of.row, Row) and isinstance(at, types.Integer):
            return signature(types.none, of, types.int64, of.row)
        return None


@infer_global(len)
class _Count(AbstractTemplate):
    def generic(self, args: Any, kws: Any) -> Any:
        return signature(types.int64, args[0]) if isinstance(args[0], Table) else None


# ---- how it is read and written


@lower_getattr_generic(Reference)
def _table(context: Any, builder: Any, kind: Any, value: Any, name: str) -> Any:
    at = kind.names.index(name)
    pair = cgutils.create_struct_proxy(kind.tables[at])(context, builder)
    for offset, member, of in ((0, "first", _BYTE), (8, "count", _WORD)):
        found = cgutils.pointer_add(builder, value, at * _PAIR + offset, of.as_pointer())
        setattr(pair, member, _for_ever(builder, builder.load(found)))
    return pair._getvalue()


@lower_getattr_generic(Row)
def _field(context: Any, builder: Any, kind: Any, value: Any, name: str) -> Any:
    seen, kept, offset = kind.field(name)
    place = cgutils.pointer_add(builder, value, offset, context.get_data_type(kept).as_pointer())
    return context.cast(builder, _read(builder, kind.table, name, place), kept, seen)


@lower_setattr_generic(Row)
def _set_field(context: Any, builder: Any, sig: Any, args: Any, name: str) -> None:
    kind, given = sig.args
    _, kept, offset = kind.field(name)
    place = cgutils.pointer_add(builder, args[0], offset, context.get_data_type(kept).as_pointer())
    _write(builder, kind.table, name, place, context.cast(builder, args[1], given, kept))


@lower_builtin(operator.getitem, Table, types.Integer)
def _get_item(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    kind = sig.args[0]
    place = _place(context, builder, kind, args)
    if isinstance(kind.row, Row):
        return place
    kept = numba.from_dtype(kind.item)
    place = builder.bitcast(place, context.get_data_type(kept).as_pointer())
    return context.cast(builder, _read(builder, kind, "", place), kept, kind.row)


@lower_builtin(operator.setitem, Table, types.Integer, types.Any)
def _set_item(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    kind = sig.args[0]
    kept = numba.from_dtype(kind.item)
    place = _place(context, builder, kind, args)
    place = builder.bitcast(place, context.get_data_type(kept).as_pointer())
    _write(builder, kind, "", place, context.cast(builder, args[2], kind.row, kept))
    return context.get_dummy_value()


@lower_builtin(len, Table)
def _length(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    return cgutils.create_struct_proxy(sig.args[0])(context, builder, value=args[0]).count


def _place(context: Any, builder: Any, kind: Any, args: Any) -> Any:
    """The address of the item at an index, from 0 on."""
    pair = cgutils.create_struct_proxy(kind)(context, builder, value=args[0])
    offset = builder.mul(args[1], ir.Constant(_WORD, kind.item.itemsize), flags=("nsw",))
    return builder.gep(pair.first, [offset], inbounds=True)


def _read(builder: Any, of: Any, name: str, place: Any) -> Any:
    loaded = _known(builder, of, name, builder.load(place))
    return _for_ever(builder, loaded) if of.lasting else loaded


def _write(builder: Any, of: Any, name: str, place: Any, value: Any) -> None:
    _known(builder, of, name, builder.store(value, place))


def _for_ever(builder: Any, loaded: Any) -> Any:
    loaded.set_metadata("invariant.load", builder.module.add_metadata([]))
    return loaded


def _known(builder: Any, of: Any, name: str, access: Any) -> Any:
    """Say of what field an access is: none of another field touches the same memory."""
    if of.own:
        add = builder.module.add_metadata
        field = add([f"{of.label}.{name}", add(["kernel"])])
        access.set_metadata("tbaa", add([field, field, ir.Constant(_WORD, 0)]))
    return access


def at(kind: Reference) -> Any:
    """What makes a reference of an address where a tuple's pairs lie."""

    @intrinsic
    def referred(typing: Any, address: Any) -> Any:
        def build(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            return builder.inttoptr(args[0], _BYTE)

        return kind(types.int64), build

    return referred
