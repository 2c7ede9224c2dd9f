"""One file for each group of routes. A route checks its input, calls the services, and shapes the answer."""

from deployments import addresses

addresses.register()
