"""Makes pretix's database and what the target file needs: an organizer, a token of its API, and a
role that can read orders and nothing else. Everything is found again at the next start.

usage: prepare.py DIRECTORY DATABASE_URL: writes DIRECTORY/pretix.cfg and DIRECTORY/variables
"""

import os
import secrets
import socket
import sys
from pathlib import Path
from urllib.parse import unquote, urlsplit

import psycopg2
from psycopg2 import sql

DATABASE = "slotproof_pretix"
READER = "slotproof_pretix_reader"
ORGANIZER = "slotproof"  # As in pretix.toml.


def main():
    directory, url = Path(sys.argv[1]).resolve(), urlsplit(sys.argv[2])
    port = free_port()
    make_database(url)
    configure(directory, url, port)
    token = make_organizer()
    password = make_reader(url)
    server = f"{url.hostname}:{url.port or 5432}"
    variables = {
        "PRETIX_URL": f"http://127.0.0.1:{port}",
        "PRETIX_AUTHORIZATION": f"Token {token}",
        "PRETIX_DATABASE_URL": f"postgres://{READER}:{password}@{server}/{DATABASE}",
        "PRETIX_PAYMENT_MINUTES": os.environ.get("PRETIX_PAYMENT_MINUTES", "30"),
    }
    file = directory / "variables"
    file.touch(mode=0o600)
    file.write_text("".join(f"export {name}='{value}'\n" for name, value in variables.items()))


def free_port():
    """pretix answers only for the address that its settings have, so gunicorn cannot choose one."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        return free.getsockname()[1]


def make_database(url):
    connection = psycopg2.connect(url.geturl())
    connection.autocommit = True  # `create database` does not run in a transaction.
    with connection.cursor() as cursor:
        cursor.execute("select 1 from pg_database where datname = %s", [DATABASE])
        if not cursor.fetchone():
            cursor.execute(sql.SQL("create database {}").format(sql.Identifier(DATABASE)))
    connection.close()


def configure(directory, url, port):
    (directory / "data").mkdir(exist_ok=True)
    file = directory / "pretix.cfg"
    file.touch(mode=0o600)
    file.write_text(
        f"""\
[pretix]
url = http://127.0.0.1:{port}
datadir = {directory / "data"}
loglevel = WARNING
[database]
backend = postgresql
name = {DATABASE}
user = {unquote(url.username or "")}
password = {unquote(url.password or "")}
host = {url.hostname}
port = {url.port or 5432}
"""
    )
    os.environ["PRETIX_CONFIG_FILE"] = str(file)
    os.environ["DJANGO_SETTINGS_MODULE"] = "pretix.settings"


def make_organizer():
    """The token of its API."""
    import django
    from django.core.management import call_command

    django.setup()
    call_command("migrate", verbosity=0)

    from django_scopes import scopes_disabled
    from pretix.base.models import Organizer

    with scopes_disabled():
        organizer, _ = Organizer.objects.get_or_create(slug=ORGANIZER, defaults={"name": "Slotproof"})
        team, _ = organizer.teams.get_or_create(
            name="API",
            defaults={
                "all_events": True,
                "all_event_permissions": True,
                "all_organizer_permissions": True,
            },
        )
        token, _ = team.tokens.get_or_create(name="slotproof")
        return token.token


def make_reader(url):
    """The password of a role that reads two tables."""
    password = secrets.token_hex(16)
    role = sql.Identifier(READER)
    with psycopg2.connect(url._replace(path=f"/{DATABASE}").geturl()) as connection:
        with connection.cursor() as cursor:
            cursor.execute("select 1 from pg_roles where rolname = %s", [READER])
            if not cursor.fetchone():
                cursor.execute(sql.SQL("create role {} login").format(role))
            cursor.execute(sql.SQL("alter role {} password %s").format(role), [password])
            cursor.execute(
                sql.SQL("grant select on pretixbase_order, pretixbase_orderposition to {}").format(role)
            )
    return password


if __name__ == "__main__":
    main()
