CREATE OR REPLACE VIEW v_absences AS
SELECT trial.trial_id, absence.metric, absence.reason
FROM absence
JOIN trial USING (trial_no);
