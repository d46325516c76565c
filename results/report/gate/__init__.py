"""What a gate said, in every form that people and machines read it: one module a form, all of one report.

It must not know how a verdict was come by.
"""
