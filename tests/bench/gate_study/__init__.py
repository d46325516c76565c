"""The evidence for the gate: live gates, gates drawn again from recorded blocks, and other tools' rules beside ours.

``make gate-study`` runs all of it. Nothing else should run on the machine meanwhile.
"""
