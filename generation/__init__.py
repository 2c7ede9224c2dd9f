"""From a ranked item and a session to text: prompts, engines, guard, templates, the writer.

Pure domain code: it imports neither Ray, nor HTTP, nor `graph`. It may import `cluster.messages` and `cluster.errors`.
"""
