"""Observation of the site: what it reports about itself before it starts and while it runs.

    preflight   checks that a process passes before it starts
    health      probes of a running site, and the endpoints and figures for monitors
    degraded    degraded_states(): the degraded states of this process; CanaryWatch: whether jobs get through
    logs        log lines
    telemetry   export of traces, errors and worker metrics

The parts lie on different layers (`pyproject.toml`): almost every package uses `degraded`, and
`health` uses almost every package. This module must therefore import nothing.

Nothing here may hold up a request or a job, and no text may hold a secret.
"""
