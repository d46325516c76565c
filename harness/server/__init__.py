"""``joulemark serve``: a store's campaigns as live pages, read-only.

``library`` reads and remembers; ``watcher`` looks whether there is news while somebody waits for it; ``answers`` says
what an address holds; ``connections`` speaks HTTP.
"""
