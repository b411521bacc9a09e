"""The Merkle tree of RFC 6962 (2.1) over the ledger's entries, grown one leaf at a time.

A `Frontier` holds the roots of the complete subtrees of the leaves so far, largest first: at most
one hash per bit of the count, from which the root of the whole follows.
"""

import hashlib
from collections.abc import Iterable

EMPTY_ROOT = hashlib.sha256().digest()


def leaf_hash(leaf: bytes) -> bytes:
    """The hash of one entry; the prefix keeps leaves and nodes apart."""
    return hashlib.sha256(b"\x00" + leaf).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash over two subtrees."""
    return hashlib.sha256(b"\x01" + left + right).digest()


class Frontier:
    """The tree of the leaves so far, as the roots of its complete subtrees."""

    def __init__(self, size: int = 0, roots: Iterable[bytes] = ()) -> None:
        self.size, self.roots = size, list(roots)
        if len(self.roots) != size.bit_count():
            raise ValueError("as many subtrees are needed as the size has bits")

    def append(self, leaf: bytes) -> None:
        """Add one entry."""
        grown, waiting = leaf_hash(leaf), self.size
        while waiting & 1:
            grown = node_hash(self.roots.pop(), grown)
            waiting >>= 1
        self.roots.append(grown)
        self.size += 1

    def root(self) -> bytes:
        """The root over everything appended; of nothing, the hash of nothing."""
        if not self.roots:
            return EMPTY_ROOT
        *larger, root = self.roots
        for subtree in reversed(larger):
            root = node_hash(subtree, root)
        return root

    def encoded(self) -> bytes:
        """The subtrees as bytes; `decoded` takes them back."""
        return b"".join(self.roots)

    @classmethod
    def decoded(cls, size: int, encoded: bytes) -> "Frontier":
        """A frontier of `size` leaves from its bytes. Raises ValueError where they do not fit."""
        return cls(size, (encoded[at : at + 32] for at in range(0, len(encoded), 32)))
