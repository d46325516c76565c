-- What really ran: operators by arithmetic; what a recipe promised of them; and what its compressed weights take on disk.

CREATE TABLE kernel (
    trial_no INTEGER NOT NULL,
    operator VARCHAR NOT NULL,
    "precision" VARCHAR NOT NULL,
    calls BIGINT NOT NULL,
    is_product BOOLEAN NOT NULL
);

ALTER TABLE arm ADD COLUMN precisions VARCHAR DEFAULT '';

ALTER TABLE artifact ADD COLUMN compressed_parameters BIGINT;
ALTER TABLE artifact ADD COLUMN compressed_bytes BIGINT;
