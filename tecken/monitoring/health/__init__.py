"""Health of the running site: probes of its parts, and what monitors, Prometheus, operators and people see.

    probes          ProbeRunner, which runs every Probe within one deadline; the function that tests each
                    part, and the runner of this process
    status          HealthSnapshot: the results, and how the servers have changed (Drift); the documents of
                    `/health` and `/admin/health/redis`
    panels          both Redis servers in detail, for operators
    measurements    samples of servers and queue over a day, for charts; how large the store must be
    views           the endpoints, and the values of `/metrics` that are read when they are requested

A request for health must not take longer than HEALTH_CHECK_SECONDS, must not raise, and must not run a probe
that is still running: a part that hangs would otherwise take more threads with each request. No text may hold
a password or the name of a bucket.
"""
