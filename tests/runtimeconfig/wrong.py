"""A value of a wrong type, one out of bounds, an unknown option: its name, the text, what is said."""

from __future__ import annotations

WRONG = [
    (
        "symbolicate_max_jobs",
        "many",
        "symbolicate_max_jobs should be a whole number from 1 to 1000, not 'many'",
    ),
    ("symbolicate_max_jobs", "0", "symbolicate_max_jobs should be a whole number from 1 to 1000, not '0'"),
    (
        "symbolicate_max_job",
        "20",
        "there is no option 'symbolicate_max_job'; did you mean symbolicate_max_jobs?",
    ),
]
