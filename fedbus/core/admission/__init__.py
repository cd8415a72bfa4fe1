"""Admission: whether a workload may be created, by rules and by what is known of its images.

`policy.Policy` holds the rules, compiled once; `Policy.decide` is the decision. A criterion is one line of
the table in `criteria`; what it looks at is a `facts.Subject`. Nothing here reads a clock: the time is an
argument.
"""
