"""Ray Serve shells and HTTP: the app builder, schemas, routes, streaming, the web page.

An entry point. `deployments.app:build` is the only place that composes the application.
"""
