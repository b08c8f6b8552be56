"""Others who run Python functions on AWS Batch, doing the same work against the same in-memory AWS.

    python -m benchmarks.peers --venv-dir DIR [--peers plugin redun] [--tasks 200 1000]

Each is installed from PyPI, into a virtual environment of its own under DIR, and driven there by
`drivers.py`, which imports nothing of this project. Their settings are their defaults, but for what names
things. What their containers do, which is theirs to say, `containers.py` does in the AWS in memory.
"""
