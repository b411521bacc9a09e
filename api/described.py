"""The structures of answers that the OpenAPI document describes."""

from api.access.store import View
from api.board import Board, Delta
from api.browsing import Shown
from api.explaining import Explanation
from api.feeds import FeedReport
from api.routes import (
    access,
    alerts,
    appointments,
    encounters,
    findings,
    health,
    intake,
    kpis,
    lately,
    messages,
    observations,
    outbound,
    simulations,
    sql,
    state,
)
from api.simulations.asked import SimulationAsked
from api.simulations.ledger import Simulation
from twin_core.state import HospitalState
from twin_core.store.saved import SavedQuery

MODELS = (
    access.BrokenGlass,
    access.Emergency,
    access.Me,
    access.Seen,
    Board,
    Delta,
    HospitalState,
    encounters.EncounterDetail,
    encounters.EncounterPage,
    Explanation,
    sql.Release,
    Shown,
    sql.SqlAnswer,
    SavedQuery,
    FeedReport,
    appointments.AppointmentDetail,
    appointments.AppointmentPage,
    health.Health,
    intake.CountedUnit,
    intake.CountsTaken,
    kpis.KpiEntry,
    kpis.KpiChanges,
    kpis.KpiCharts,
    kpis.KpiFigures,
    kpis.KpiRows,
    lately.CatalogueLately,
    alerts.Alerts,
    messages.MessageDetail,
    messages.MessagePage,
    messages.Replayed,
    findings.FindingPage,
    observations.ObservationPage,
    outbound.DestinationDetail,
    outbound.Destinations,
    SimulationAsked,
    Simulation,
    View,
    simulations.SimulationDetail,
    simulations.Simulations,
    state.UnitSummary,
)
