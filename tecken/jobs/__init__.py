"""Background jobs: what Tecken adds to Celery so that no job is lost.

* `transport`, `reliable_fetch`: kombu's Redis transport, with a fetch that takes a job and records its owner
  in one step of the server.
* `heartbeat`: each worker records the jobs that it has. Jobs of a worker that stopped recording return to
  their queue.
* `task`: `Job`, the base class of all tasks. It counts starts, and keeps a job that cannot succeed as a dead
  letter.
* `records`, `dead_letters`: `Records` (starts, dead letters, canaries) and the retry of a `DeadLetter`.
* `beat`: `OneBeat`, a scheduler with a lock, so that several beats can run.
* `consumer`: `Consumer` reconnects every second, `Pause` stops the start of jobs under maintenance.
* `backlog`: the state of queues and workers for pages, `/health` and `/metrics`.

What must never happen: a job that was accepted is neither in a list, nor with a worker, nor a dead letter; a
job starts without limit; a task that has another effect when it runs twice; a key of ours that must not be
lost and expires, since redis-cache may evict it. `docs/jobs.md` describes the guarantees, and
`docs/adr/0005-job-queue.md` why kombu's own transport does not give them.
"""
