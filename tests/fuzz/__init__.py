"""Whatever bytes come from outside: plain functions that must hold for all of them.

`test_fuzz.py` tries them with hypothesis, and ``python -m tests.fuzz TARGET SECONDS`` with atheris,
which looks for what it has not seen yet. What either finds is kept as a seed.
"""
