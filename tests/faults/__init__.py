"""Faults, generated: each write, statement and request between "run requested" and "promoted" fails once, in each way.

``python -m tests.faults`` replays the scenario for all points and writes the table of ``docs/faults.md``. The test replays a
sample.
"""
