"""The kernel compiled as one piece.

Numba makes machine code of every function together with all that it calls, again and again up to
the way in, which takes minutes. The kernel's functions are called by nobody else: here they stay
parts, and what they make together is optimised and made machine code, once. All but the way in
belongs to it alone, so that the optimiser may inline a part, change what it is given, or drop it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from llvmlite import binding
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler_lock import global_compiler_lock
from numba.core.registry import cpu_target

from twin_core.simulation.kernel.compiled import compiled
from twin_core.simulation.kernel.way_in import SIGNATURE, way_in


class _Part(JITCodeLibrary):
    """What one function is by itself: nothing to run, something to link."""

    def finalize(self) -> None:
        self._finalized = True

    def get_pointer_to_function(self, name: str) -> int:
        self._finalized = True
        return 0


def object_code(name: str, machine: Any) -> bytes:
    """The kernel for a target machine, as an object file with one function of a name."""
    dispatcher: Any = compiled(way_in)
    with _in_parts():
        dispatcher.compile(SIGNATURE)
        compiled_ = dispatcher.overloads[SIGNATURE.args]
        library = compiled_.library
        module = library._final_module
        for part in _closure(library):
            module.link_in(part._get_module_for_linking(), preserve=True)
        for of in (*module.functions, *module.global_variables):
            if not of.is_declaration:
                of.linkage = "internal"
        function = module.get_function(compiled_.fndesc.llvm_func_name)
        function.linkage, function.name = "external", name
    _optimize(module, machine)
    code: bytes = machine.emit_object(module)
    return code


def _optimize(module: Any, machine: Any) -> None:
    module.verify()
    options = binding.create_pipeline_tuning_options(speed_level=3)
    passes = binding.create_pass_builder(machine, options)
    passes.getModulePassManager().run(module, passes)


def _closure(library: Any) -> list[Any]:
    """What a library needs, and what that needs in turn."""
    found: dict[Any, None] = {}
    waiting = list(library._linking_libraries)
    while waiting:
        next_ = waiting.pop()
        if next_ not in found:
            found[next_] = None
            if isinstance(next_, _Part):
                waiting += next_._linking_libraries
    return list(found)


@contextmanager
def _in_parts() -> Iterator[None]:
    """While this lasts, what is compiled is a part."""
    # Numba has no public word for this; a release without these names fails the kernel's tests.
    codegen = cpu_target.target_context.codegen()
    part: Any = _Part
    with global_compiler_lock:
        codegen.create_library = lambda name: part(codegen, name)
        codegen.set_env = lambda name, env: None
        try:
            yield
        finally:
            del codegen.create_library, codegen.set_env
