"""Faults by plan: what the local AWS does wrong, when, and how often; `plan` has the format.

`requests` strikes requests on their way, `jobs` the attempts of jobs, `answers` what clients see of jobs. A
plan in force is a `force.InForce`; replacing it forgets all that the old one knew.
"""
