"""Marks orders as expired that were not paid in time, every few seconds.

`python -m pretix runperiodic` does it from cron, minutes apart, among tasks that call servers of
the internet: only the one that matters to a booking is run here.
"""

import os
import time

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "pretix.settings")
django.setup()

from django.db import close_old_connections  # noqa: E402
from pretix.base.services.orders import expire_orders  # noqa: E402

EVERY_SECONDS = 5

while True:
    close_old_connections()
    expire_orders(sender=None)
    time.sleep(EVERY_SECONDS)
