"""Has it got worse: rules, what two sides of a comparison measured, and one finding a rule and arm.

Pure: from facts to findings. It must not know how a side was run, where its rows lie, nor how a finding is shown.
"""
