"""The kernel's machine code: loaded from disk, or compiled and kept there.

A process that finds it does without the compiler, whose import alone takes longer than a day of a
hospital. The file is named after all that it depends on: the kernel's sources, the compiler, and
the processor.
"""

import ctypes
import os
import sys
import threading
from functools import cache
from hashlib import blake2b
from importlib import metadata, resources
from pathlib import Path
from typing import Any

from llvmlite import binding

_NAME = "wardtwin_kernel"
_DIGEST = 16
_NUMBER = ctypes.c_int64
_WAY_IN = ctypes.CFUNCTYPE(
    ctypes.c_int32, ctypes.POINTER(_NUMBER), ctypes.POINTER(ctypes.c_void_p), *[_NUMBER] * 7
)
_loading = threading.Lock()
_loaded: list[Any] = []
"""The function, and what has to live as long as it does."""


def call(*numbers: int) -> int:
    """Call the way in (see `way_in`), without the interpreter's lock."""
    ready()
    answer, fault = _NUMBER(), ctypes.c_void_p()
    status = _loaded[0](ctypes.byref(answer), ctypes.byref(fault), *numbers)
    if status != 0:
        raise RuntimeError(f"The kernel ended with status {status}.")
    return answer.value


def is_compiled() -> bool:
    """Whether the disk has the kernel compiled for this machine, from these very sources."""
    return any(_code_in(folder) is not None for folder in _folders())


def ready() -> None:
    """Load the kernel from disk, or compile it and keep it there."""
    with _loading:
        if not _loaded:
            code = next(filter(None, map(_code_in, _folders())), None)
            _load(code if code is not None else _compiled())


def _load(code: bytes) -> None:
    # The machine and the engine stay: the code goes with them.
    engine = binding.create_mcjit_compiler(binding.parse_assembly(""), _machine())
    engine.add_object_file(binding.ObjectFileRef.from_data(code))
    engine.finalize_object()
    _loaded[:] = [_WAY_IN(engine.get_function_address(_NAME)), engine]


def _compiled() -> bytes:
    from twin_core.simulation.kernel.whole import object_code

    code = object_code(_NAME, _machine())
    for folder in _folders():
        try:
            _keep(code, folder)
        except OSError:
            continue
        break
    return code


def _keep(code: bytes, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    # Whole or not at all, for whoever reads it meanwhile.
    new = folder / f"{_file()}.{os.getpid()}"
    new.write_bytes(_digest(code) + code)
    new.replace(folder / _file())


def _code_in(folder: Path) -> bytes | None:
    try:
        kept = (folder / _file()).read_bytes()
    except OSError:
        return None
    code = kept[_DIGEST:]
    return code if code and _digest(code) == kept[:_DIGEST] else None


def _digest(code: bytes) -> bytes:
    return blake2b(code, digest_size=_DIGEST).digest()


def _folders() -> list[Path]:
    """Where the code may be kept: where numba would, or beside the sources, or for this user."""
    chosen = os.environ.get("NUMBA_CACHE_DIR")
    if chosen:
        return [Path(chosen)]
    known = os.environ.get("LOCALAPPDATA" if sys.platform == "win32" else "XDG_CACHE_HOME")
    own = Path(known) if known else Path.home() / ".cache"
    return [Path(__file__).parent / "__pycache__", own / "wardtwin"]


@cache
def _file() -> str:
    digest = blake2b(digest_size=10)
    folder = resources.files(__package__)
    for file in sorted(folder.iterdir(), key=lambda file: file.name):
        if file.name.endswith(".py"):
            digest.update(file.read_bytes())
    for part in (metadata.version("numba"), metadata.version("llvmlite"), *_processor()):
        digest.update(part.encode() + b"\0")
    return f"kernel-{digest.hexdigest()}.o"


@cache
def _processor() -> tuple[str, str, str]:
    features = binding.get_host_cpu_features().flatten()
    return binding.get_process_triple(), binding.get_host_cpu_name(), features


def _machine() -> Any:
    binding.initialize_native_target()
    binding.initialize_native_asmprinter()
    triple, name, features = _processor()
    return binding.Target.from_triple(triple).create_target_machine(
        cpu=name, features=features, opt=3, reloc="pic", codemodel="small"
    )
