"""Which arm to take: limits, objectives, and how sure the answer is."""
