"""Options that an operator changes while the site runs, and maintenance.

A change is recorded in the database as a version and sent to a backend (`backends/`: Redis for a fleet, a
file for one host). A watcher in each process applies it, usually within milliseconds and
always within about a second; requests and jobs read plain attributes from memory.

    options, option             registry of all options; conversion between an operator's text and a value
    snapshot                    immutable version, from which the options of a request are computed
    current                     what other packages use: options(), pinned(), on_change(), maintenance()
    process, reconciler         state of a process, and the threads that keep it and the backend up to date
    service, models             changes, and the versions in the database

What must never happen:

* A read waits for Redis or fails, whatever is broken. The last values stay in force.
* A request or job sees two versions, or half of one.
* A version that the database has is lost, or a Redis without data restores the defaults.
* A wrong text stops a process or another option. It is ignored, and the reason is shown.
* A fork leaves the child with a held lock, or with a connection of its parent.
"""
