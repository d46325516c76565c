-- Not public: one figure for each trial and metric. Where instruments told the same one several times, the
-- strongest method speaks, and the first among equals.
CREATE OR REPLACE VIEW _figure AS
SELECT
    trial_no,
    name,
    arg_min(value, _method_rank(method) * 10000 + position) AS value,
    arg_min(method, _method_rank(method) * 10000 + position) AS method,
    arg_min_null(lo, _method_rank(method) * 10000 + position) AS lo,
    arg_min_null(hi, _method_rank(method) * 10000 + position) AS hi,
    arg_min(scope, _method_rank(method) * 10000 + position) AS scope,
    arg_min(source, _method_rank(method) * 10000 + position) AS source,
    arg_min(flags, _method_rank(method) * 10000 + position) AS flags
FROM metric
GROUP BY trial_no, name;
