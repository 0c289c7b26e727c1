"""What a capture costs: the bridge beside the least that its contract can cost.

`python -m tests.bench` prints the table; `python -m tests.bench --help` says what else it can do.
"""
