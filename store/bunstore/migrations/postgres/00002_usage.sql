-- +goose Up

-- What waits for a lock has everybody else wait behind it: not for long. Then it
-- fails, leaves the tables as they were and can be tried again.
SET LOCAL lock_timeout = '2s';

-- In the order in which all lock: epochs, keys, usage. Who is at work on a key
-- meanwhile waits, or is waited for, and never both.
SELECT count(*) FROM (SELECT shard FROM lanyard_epochs ORDER BY shard FOR UPDATE) AS held;

-- When a key was rotated, and when it would have expired otherwise; NULL is
-- never.
ALTER TABLE lanyard_api_keys
    ADD COLUMN rotated_at   bigint,
    ADD COLUMN life_ends_at bigint;

-- Beside the last use of a key its first, and the networks both came from;
-- NULL is unknown. A library before this migration writes last_used_at alone:
-- last_from_at is the last_used_at that last_used_from belongs to.
ALTER TABLE lanyard_api_key_usage
    ADD COLUMN first_used_at   bigint,
    ADD COLUMN first_used_from text,
    ADD COLUMN last_used_from  text,
    ADD COLUMN last_from_at    bigint;

INSERT INTO lanyard_schema (version, min_reader) VALUES (2, 1);
