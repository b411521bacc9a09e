"""Named tuples of arrays passed by reference inside the kernel.

Numba passes a tuple of forty arrays as some three hundred arguments, at every call and with counted
references, which takes minutes to compile and most of the time to run. A reference is one pointer
to the tuple, which the way in keeps on its stack; fields read the same as of the tuple.
"""

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.imputils import impl_ret_borrowed, lower_getattr_generic
from numba.core.typing.templates import AttributeTemplate, infer_getattr
from numba.extending import intrinsic, models, register_model

_POINTER = ir.IntType(8).as_pointer()


class Reference(types.Type):
    """A pointer to a named tuple whose fields never change while it is used."""

    def __init__(self, of: Any) -> None:
        self.of = of
        super().__init__(name=f"Reference({of.name})")


@register_model(Reference)
class _Model(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, _POINTER)


@infer_getattr
class _Fields(AttributeTemplate):
    key = Reference

    def generic_resolve(self, kind: Any, name: str) -> Any:  # type: ignore[override]
        if name in kind.of.fields:
            return kind.of.types[kind.of.fields.index(name)]
        return None


@lower_getattr_generic(Reference)
def _field(context: Any, builder: Any, kind: Any, value: Any, name: str) -> Any:
    at = kind.of.fields.index(name)
    whole = builder.bitcast(value, context.get_value_type(kind.of).as_pointer())
    loaded = builder.load(cgutils.gep_inbounds(builder, whole, 0, at))
    loaded.set_metadata("invariant.load", builder.module.add_metadata([]))
    return impl_ret_borrowed(context, builder, kind.of.types[at], loaded)


@intrinsic
def by_reference(typing: Any, of: Any) -> Any:
    """A reference to a named tuple; good as long as the function runs that made it."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(cgutils.alloca_once_value(builder, arguments[0]), _POINTER)

    return Reference(of)(of), build
