"""The compiled patient flow: arrays in, statistics out, no Python object in the loop."""
