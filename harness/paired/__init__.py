"""A paired run: base, head and the base once more, interleaved on one host in one run.

``matchup`` says what the two names mean, ``sides`` what their lanes hold, ``schedule`` what runs in which order,
``book`` keeps the rows, and ``run`` is the run.
"""
