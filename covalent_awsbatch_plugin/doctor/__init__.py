"""Looks at the whole set-up and says what a first run would fail with, why, and which command mends it.

`examination` has the checks in their order, `finding` what they yield, `trial` the job of `--run`.
"""
