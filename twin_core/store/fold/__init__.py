"""Folds: everything known of one patient, encounter, location or device becomes rows.

A fold is a pure function of facts in order. It never looks at what was folded before, so any
arrival order, a replay or a duplicate gives the same rows.
"""
