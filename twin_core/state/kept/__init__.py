"""The hospital now, kept up to date: only what a batch touched is worked out again.

`hospital_state` asks the store about every visit and bed; here the visits that go on, the beds and
the units are held in memory, and a batch changes those that it is about. Both give the same state,
which tests hold. `visits` is what follows from the rows of one visit, `places` from those of beds
and units, `hospital` puts them together, `following` follows a store.
"""

from twin_core.state.kept.following import KeptState

__all__ = ["KeptState"]
