"""Calibration: from a store's history to a model of the hospital, and how sure each number is.

history = read_history(twin.query, end=now)
found = calibrated(history)
found.model                      # the hospital as estimated, empty
standing(found, found.model)     # the same, as it stands at the end of the history
"""

from twin_core.simulation.calibrate.fitting import Calibration, calibrated
from twin_core.simulation.calibrate.history import History, read_history
from twin_core.simulation.calibrate.standing import standing

__all__ = ["Calibration", "History", "calibrated", "read_history", "standing"]
