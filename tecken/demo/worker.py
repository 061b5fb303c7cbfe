"""Does jobs, and sends those of the schedule, in threads of this process.

They have no limits of time and memory, which need a process of their own to end.
"""

from __future__ import annotations

import atexit
import logging
import time
from threading import Thread

from celery import Celery
from celery.beat import Scheduler
from celery.worker import WorkController

JOBS = 2  # at the same time


def start(app: Celery) -> None:
    app.conf.worker_enable_remote_control = False  # it is other processes that would ask
    worker = WorkController(
        app=app,
        pool="threads",
        concurrency=JOBS,
        loglevel="WARNING",
        without_gossip=True,
        without_mingle=True,
    )
    atexit.register(worker.stop)
    Thread(target=worker.start, name="demo worker", daemon=True).start()
    Thread(target=_send_schedule, args=(app,), name="demo beat", daemon=True).start()


def _send_schedule(app: Celery) -> None:
    # Celery logs each job that it sends; several are due in a minute.
    logging.getLogger("celery.beat").setLevel(logging.WARNING)
    schedule = Scheduler(app)
    while True:
        time.sleep(max(0, schedule.tick()))
