"""Facts: records, statistics, comparison, the store and the reports. Knows nobody."""
