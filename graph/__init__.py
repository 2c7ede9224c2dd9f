"""From interactions to ranked items: graph, encoder, training, index, ranking, metrics.

Pure domain code: it imports neither Ray, nor HTTP, nor `generation`. It may import `cluster.messages`,
`cluster.errors` and `cluster.artifacts`.
"""
