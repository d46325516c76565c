"""A lane: one side's world in a process of its own, with its own folder, modules and campaign file.

``messages`` is what crosses the pipe, ``world`` what is in the process, ``models`` how a model that somebody gives
stands in for a variant, ``owner`` the parent's end.
"""
