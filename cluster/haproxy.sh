#!/bin/sh
# What Serve starts in place of HAProxy: see haproxy.py.
exec python3 -m cluster.haproxy "$@"
