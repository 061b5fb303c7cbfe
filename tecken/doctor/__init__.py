"""Doctor: checks of a running site from the outside and the inside, each with the next step of an operator.

    checks          Check, CheckFinding and CheckResult; how checks run side by side, each within its deadline
    servers         Redis servers, database, storage, disks and clocks
    fleet           workers, beat, and the versions of all processes
    visitor         HTTP client of the site, and the account that a run creates and removes
    public_url      checks over the public URL: the site, its proxies and TLS
    round_trip      a debug file that is uploaded, symbolicated, downloaded and deleted
    report          all checks in order; the JSON document, and the exit status
    background      a run in a thread of a web process, one at a time in the whole fleet

`manage.py doctor` and `/health/doctor/` run the same checks. `tecken.monitoring` answers monitors in
milliseconds from what a process knows; the doctor takes seconds and sends real requests.

What must never happen: a run that leaves an account, a file or a row behind, a check without a deadline, or a
text that has a password.
"""
