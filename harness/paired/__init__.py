"""A paired run: base, head and the base once more, interleaved on one host in one run.

``matchup`` says what the two sides are, ``schedule`` in which order they run, ``run`` runs them and keeps the records.
"""
