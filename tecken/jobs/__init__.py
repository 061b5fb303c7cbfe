"""Background jobs: what Tecken adds to Celery so that no job is lost.

* `transport`: kombu's Redis transport, with a fetch that takes a job and records its owner
  in one step of the server.
* `worker`: `Heartbeat` records the jobs that a worker has. Jobs of a worker that stopped recording return to
  their queue. `Consumer` reconnects every second, `Pause` stops the start of jobs under maintenance.
* `task`: `Job`, the base class of all tasks. It counts starts, and keeps a job that cannot succeed as a dead
  letter.
* `records`: `Records` (starts, dead letters, canaries), the retry of a `DeadLetter`, and the state of queues
  and workers for pages, `/health` and `/metrics`.
* `beat`: `OneBeat`, a scheduler with a lock, so that several beats can run.

What must never happen: a job that was accepted is neither in a list, nor with a worker, nor a dead letter; a
job starts without limit; a task that has another effect when it runs twice; a key of ours that must not be
lost and expires, since redis-cache may evict it. `docs/jobs.md` describes the guarantees, and
`docs/adr/0005-job-queue.md` why kombu's own transport does not give them.
"""
