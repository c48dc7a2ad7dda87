"""pretix without its locks, by a debugging flag of its own (pretix/base/services/locking.py): the
negative control."""

from pretix.testutils.middleware import debugflags_var
from pretix.wsgi import application as pretix

FLAGS = frozenset(["skip-locking"])


def application(environ, start_response):
    debugflags_var.set(FLAGS)
    return pretix(environ, start_response)
