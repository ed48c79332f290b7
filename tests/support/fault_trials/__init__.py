"""Faults at random moments of a fast campaign, and what must hold after each: see ``run.py``.

``python -m fault_trials --trials 100 --seed 0 --out FOLDER`` with tests/support on PYTHONPATH.
"""
