"""The erasure of a patient: found whole, ordered durably, and carried out whatever interrupts it.

What is to go is found while the store is open, and written into one file beside it. From then on
the store does not open before the order is carried out: a program that finds one goes on with it.
Every step can be repeated, so that an end at any moment leaves nothing undone.
"""

from twin_core.store.erasing.carrying_out import carry_out, is_ordered, order, order_path
from twin_core.store.erasing.found import Erasure
from twin_core.store.erasing.searching import found

__all__ = ["Erasure", "carry_out", "found", "is_ordered", "order", "order_path"]
