"""What a result depends on besides its model, its seed and its run."""

import platform
from hashlib import sha256
from importlib import metadata, resources


def versions() -> dict[str, str]:
    """The versions that made a result; the kernel is known by a digest of its sources."""
    return {
        "wardtwin": _installed("wardtwin"),
        "kernel": _kernel(),
        "numba": _installed("numba"),
        "numpy": _installed("numpy"),
        "python": platform.python_version(),
        "machine": platform.machine(),
    }


def _installed(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "0+source"


def _kernel() -> str:
    digest = sha256()
    folder = resources.files("twin_core.simulation") / "kernel"
    for file in sorted(folder.iterdir(), key=lambda file: file.name):
        if file.name.endswith(".py"):
            digest.update(file.read_bytes())
    return digest.hexdigest()[:12]
