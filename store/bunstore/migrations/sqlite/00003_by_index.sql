-- +goose Up

-- Erasing an owner looks for his tombstones: without this it reads all keys.
CREATE INDEX lanyard_api_keys_owner_tombstones ON lanyard_api_keys (tenant, subject) WHERE deleted_at IS NOT NULL;

INSERT INTO lanyard_schema (version, min_reader) VALUES (3, 1);
