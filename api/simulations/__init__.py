"""Simulation at the edges: answers as text, and runs that are asked for over HTTP."""
