-- Not public: one figure for each trial and metric. Where instruments told the same one several times, the
-- strongest method speaks, and the first among equals.
CREATE OR REPLACE VIEW _figure AS
SELECT
    trial_no,
    name,
    arg_min(value, _method_rank(method) * 10000 + position) AS value,
    arg_min(method, _method_rank(method) * 10000 + position) AS method
FROM metric
GROUP BY trial_no, name;
