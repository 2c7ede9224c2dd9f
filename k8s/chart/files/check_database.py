"""Before Ray starts: the database is PostgreSQL and answers. Ends with 0, or 1 and a line that says why not.

Argument: how long to wait for it, in seconds.
"""

from __future__ import annotations

import sys
import time


def main(wait_s: float) -> int:
    from cluster.config import ConfigError, load_settings

    try:
        settings = load_settings()
    except ConfigError as error:
        print(error)
        return 1
    if settings.uses_sqlite:
        print("the database is SQLite, which has one writer on one node: give a PostgreSQL URL")
        return 1

    from cluster.errors import TailorbirdError
    from cluster.store import Store

    end = time.monotonic() + wait_s
    while True:
        try:
            with Store.open(settings, readonly=True) as store, store.database.reading() as connection:
                connection.exec_driver_sql("SELECT 1")
            print("the database answers")
            return 0
        except TailorbirdError as error:
            print(error, flush=True)
            if time.monotonic() > end:
                return 1
            time.sleep(2)


if __name__ == "__main__":
    raise SystemExit(main(float(sys.argv[1])))
