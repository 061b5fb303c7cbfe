"""Options that an operator changes while the site runs, and maintenance.

A change is recorded in the database as a version and sent to a backend (`backends/`: Redis for a fleet, a
file for one host). A watcher in each process applies it, usually within milliseconds and
always within about a second; requests and jobs read plain attributes from memory.

    options.Options             registry: every option with its type, default, bounds and description
    option.Option               conversion between an operator's text and a value
    snapshot.Snapshot           immutable version, from which the options of a request are computed
    snapshot.Entry, snapshot.Rollout    values for a time, and for some requests, users or tokens
    current                     what other packages use: options(), pinned(), on_change(), maintenance()
    process.Process, watcher.Watcher    state of a process, and the thread that keeps it up to date
    service                     changes, and the versions in the database
    backend.ConfigBackend       interface of backends; backend.MemoryBackend is for tests

What must never happen:

* A read waits for Redis or fails, whatever is broken. The last values stay in force.
* A request or job sees two versions, or half of one.
* A version that the database has is lost, or a Redis without data restores the defaults.
* A wrong text stops a process or another option. It is ignored, and the reason is shown.
* A fork leaves the child with a held lock, or with a connection of its parent.
"""
