"""The demo: a simulated hospital that feeds the real listener and the real FHIR endpoint.

`plan_demo` decides everything that can be decided beforehand (clock, settings, simulation),
`run_demo` feeds a started server for as long as it is let, `check_demo` feeds it a bounded period
and compares the store with the truth row by row.
"""

from api.demo.check import Verdict, check_demo
from api.demo.plan import DemoPlan, demo_settings, plan_check, plan_demo, shown_whole
from api.demo.run import DemoServer, run_demo

__all__ = [
    "DemoPlan",
    "DemoServer",
    "Verdict",
    "check_demo",
    "demo_settings",
    "plan_check",
    "plan_demo",
    "run_demo",
    "shown_whole",
]
