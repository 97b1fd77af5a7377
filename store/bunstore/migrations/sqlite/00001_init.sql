-- +goose Up

-- Times are microseconds since the Unix epoch in UTC; NULL is the zero time.
-- TEXT compares byte for byte.

CREATE TABLE lanyard_schema (
    version    INTEGER PRIMARY KEY,
    min_reader INTEGER NOT NULL
) STRICT;

CREATE TABLE lanyard_epochs (
    shard INTEGER PRIMARY KEY,
    epoch INTEGER NOT NULL
) STRICT;

INSERT INTO lanyard_epochs (shard, epoch)
WITH RECURSIVE n (shard) AS (SELECT 0 UNION ALL SELECT shard + 1 FROM n WHERE shard < 255)
SELECT shard, 0 FROM n;

CREATE TABLE lanyard_profiles (
    tenant           TEXT NOT NULL,
    subject          TEXT NOT NULL,
    version          INTEGER NOT NULL,
    email            TEXT NOT NULL,
    email_verified   INTEGER NOT NULL,
    directory_given  TEXT NOT NULL,
    directory_family TEXT NOT NULL,
    directory_full   TEXT NOT NULL,
    locale           TEXT NOT NULL,
    zone_info        TEXT NOT NULL,
    given_name       TEXT,
    family_name      TEXT,
    created_at       INTEGER,
    updated_at       INTEGER,
    PRIMARY KEY (tenant, subject)
) STRICT;

CREATE TABLE lanyard_owner_states (
    tenant         TEXT NOT NULL,
    subject        TEXT NOT NULL,
    deactivated_at INTEGER NOT NULL,
    PRIMARY KEY (tenant, subject)
) STRICT;

CREATE TABLE lanyard_owner_keys (
    id          TEXT PRIMARY KEY,
    tenant      TEXT NOT NULL,
    subject     TEXT NOT NULL,
    version     INTEGER NOT NULL,
    secrets     TEXT NOT NULL,
    key_version TEXT NOT NULL,
    wrapped     BLOB NOT NULL,
    created_at  INTEGER,
    UNIQUE (tenant, subject),
    UNIQUE (tenant, subject, id)
) STRICT;

CREATE TABLE lanyard_api_keys (
    id            TEXT PRIMARY KEY,
    tenant        TEXT NOT NULL,
    subject       TEXT NOT NULL,
    shard         INTEGER NOT NULL,
    version       INTEGER NOT NULL,
    name          TEXT NOT NULL,
    hint          TEXT NOT NULL,
    hash          BLOB NOT NULL UNIQUE,
    mac           BLOB,
    scopes        TEXT,
    created_at    INTEGER,
    expires_at    INTEGER,
    deleted_at    INTEGER,
    rotated_from  TEXT,
    create_token  BLOB,
    create_digest BLOB
) STRICT;

CREATE INDEX lanyard_api_keys_owner ON lanyard_api_keys (tenant, subject, created_at DESC, id) WHERE deleted_at IS NULL;
CREATE UNIQUE INDEX lanyard_api_keys_create_token ON lanyard_api_keys (tenant, subject, create_token) WHERE create_token IS NOT NULL;
CREATE UNIQUE INDEX lanyard_api_keys_successor ON lanyard_api_keys (tenant, subject, rotated_from) WHERE rotated_from IS NOT NULL AND deleted_at IS NULL;
CREATE INDEX lanyard_api_keys_expiry ON lanyard_api_keys (expires_at) WHERE expires_at IS NOT NULL AND deleted_at IS NULL;
CREATE INDEX lanyard_api_keys_unsigned ON lanyard_api_keys (id) WHERE mac IS NULL AND deleted_at IS NULL;
CREATE INDEX lanyard_api_keys_tombstones ON lanyard_api_keys (deleted_at) WHERE deleted_at IS NOT NULL;

CREATE TABLE lanyard_api_key_usage (
    key_id       TEXT PRIMARY KEY REFERENCES lanyard_api_keys (id) ON DELETE CASCADE,
    last_used_at INTEGER NOT NULL
) STRICT;

CREATE TABLE lanyard_provider_tokens (
    id            TEXT PRIMARY KEY,
    tenant        TEXT NOT NULL,
    subject       TEXT NOT NULL,
    version       INTEGER NOT NULL,
    provider_id   TEXT NOT NULL,
    method_id     TEXT NOT NULL,
    label         TEXT NOT NULL,
    fields        TEXT,
    secrets       TEXT,
    owner_key_id  TEXT NOT NULL,
    origin        TEXT NOT NULL,
    account_id    TEXT NOT NULL,
    account_name  TEXT NOT NULL,
    account_email TEXT NOT NULL,
    verdict       TEXT NOT NULL,
    reason        TEXT NOT NULL,
    checked_at    INTEGER,
    expires_at    INTEGER,
    created_at    INTEGER,
    updated_at    INTEGER,
    last_used_at  INTEGER,
    UNIQUE (tenant, subject, provider_id, label),
    FOREIGN KEY (tenant, subject, owner_key_id)
        REFERENCES lanyard_owner_keys (tenant, subject, id) ON DELETE CASCADE
) STRICT;

CREATE INDEX lanyard_provider_tokens_owner ON lanyard_provider_tokens (tenant, subject, created_at DESC, id);
CREATE INDEX lanyard_provider_tokens_expiry ON lanyard_provider_tokens (expires_at) WHERE expires_at IS NOT NULL;
CREATE INDEX lanyard_provider_tokens_owner_key ON lanyard_provider_tokens (tenant, subject, owner_key_id);

CREATE TABLE lanyard_events (
    id            TEXT PRIMARY KEY,
    tenant        TEXT NOT NULL,
    subject       TEXT NOT NULL,
    at            INTEGER NOT NULL,
    actor_tenant  TEXT NOT NULL,
    actor_subject TEXT NOT NULL,
    via           TEXT NOT NULL,
    action        TEXT NOT NULL,
    object        TEXT NOT NULL,
    request_id    TEXT NOT NULL,
    ip            TEXT NOT NULL,
    user_agent    TEXT NOT NULL,
    dedupe_key    TEXT,
    detail        TEXT
) STRICT;

CREATE INDEX lanyard_events_owner ON lanyard_events (tenant, subject, at DESC, id);
CREATE UNIQUE INDEX lanyard_events_dedupe ON lanyard_events (tenant, subject, dedupe_key) WHERE dedupe_key IS NOT NULL;
CREATE INDEX lanyard_events_at ON lanyard_events (at);

INSERT INTO lanyard_schema (version, min_reader) VALUES (1, 1);
