-- +goose Up

-- Times are microseconds since the Unix epoch in UTC; NULL is the zero time.
-- Text keys compare byte for byte.

CREATE TABLE lanyard_schema (
    version    bigint PRIMARY KEY,
    min_reader bigint NOT NULL
);

CREATE TABLE lanyard_epochs (
    shard integer PRIMARY KEY,
    epoch bigint  NOT NULL
);

INSERT INTO lanyard_epochs (shard, epoch)
SELECT shard, 0 FROM generate_series(0, 255) AS shard;

CREATE TABLE lanyard_profiles (
    tenant           text COLLATE "C" NOT NULL,
    subject          text COLLATE "C" NOT NULL,
    version          bigint  NOT NULL,
    email            text    NOT NULL,
    email_verified   boolean NOT NULL,
    directory_given  text    NOT NULL,
    directory_family text    NOT NULL,
    directory_full   text    NOT NULL,
    locale           text    NOT NULL,
    zone_info        text    NOT NULL,
    given_name       text,
    family_name      text,
    created_at       bigint,
    updated_at       bigint,
    PRIMARY KEY (tenant, subject)
);

CREATE TABLE lanyard_owner_states (
    tenant         text COLLATE "C" NOT NULL,
    subject        text COLLATE "C" NOT NULL,
    deactivated_at bigint NOT NULL,
    PRIMARY KEY (tenant, subject)
);

CREATE TABLE lanyard_owner_keys (
    id          text COLLATE "C" PRIMARY KEY,
    tenant      text COLLATE "C" NOT NULL,
    subject     text COLLATE "C" NOT NULL,
    version     bigint NOT NULL,
    secrets     text COLLATE "C" NOT NULL,
    key_version text COLLATE "C" NOT NULL,
    wrapped     bytea  NOT NULL,
    created_at  bigint,
    UNIQUE (tenant, subject),
    UNIQUE (tenant, subject, id)
);

CREATE TABLE lanyard_api_keys (
    id            text COLLATE "C" PRIMARY KEY,
    tenant        text COLLATE "C" NOT NULL,
    subject       text COLLATE "C" NOT NULL,
    shard         integer NOT NULL,
    version       bigint  NOT NULL,
    name          text    NOT NULL,
    hint          text    NOT NULL,
    hash          bytea   NOT NULL UNIQUE,
    mac           bytea,
    scopes        text,
    created_at    bigint,
    expires_at    bigint,
    deleted_at    bigint,
    rotated_from  text COLLATE "C",
    create_token  bytea,
    create_digest bytea
);

CREATE INDEX lanyard_api_keys_owner ON lanyard_api_keys (tenant, subject, created_at DESC NULLS LAST, id) WHERE deleted_at IS NULL;
CREATE UNIQUE INDEX lanyard_api_keys_create_token ON lanyard_api_keys (tenant, subject, create_token) WHERE create_token IS NOT NULL;
CREATE UNIQUE INDEX lanyard_api_keys_successor ON lanyard_api_keys (tenant, subject, rotated_from) WHERE rotated_from IS NOT NULL AND deleted_at IS NULL;
CREATE INDEX lanyard_api_keys_expiry ON lanyard_api_keys (expires_at) WHERE expires_at IS NOT NULL AND deleted_at IS NULL;
CREATE INDEX lanyard_api_keys_unsigned ON lanyard_api_keys (id) WHERE mac IS NULL AND deleted_at IS NULL;
CREATE INDEX lanyard_api_keys_tombstones ON lanyard_api_keys (deleted_at) WHERE deleted_at IS NOT NULL;

CREATE TABLE lanyard_api_key_usage (
    key_id       text COLLATE "C" PRIMARY KEY REFERENCES lanyard_api_keys (id) ON DELETE CASCADE,
    last_used_at bigint NOT NULL
);

CREATE TABLE lanyard_provider_tokens (
    id            text COLLATE "C" PRIMARY KEY,
    tenant        text COLLATE "C" NOT NULL,
    subject       text COLLATE "C" NOT NULL,
    version       bigint NOT NULL,
    provider_id   text COLLATE "C" NOT NULL,
    method_id     text   NOT NULL,
    label         text COLLATE "C" NOT NULL,
    fields        text,
    secrets       text,
    owner_key_id  text COLLATE "C" NOT NULL,
    origin        text   NOT NULL,
    account_id    text   NOT NULL,
    account_name  text   NOT NULL,
    account_email text   NOT NULL,
    verdict       text   NOT NULL,
    reason        text   NOT NULL,
    checked_at    bigint,
    expires_at    bigint,
    created_at    bigint,
    updated_at    bigint,
    last_used_at  bigint,
    UNIQUE (tenant, subject, provider_id, label),
    FOREIGN KEY (tenant, subject, owner_key_id)
        REFERENCES lanyard_owner_keys (tenant, subject, id) ON DELETE CASCADE
);

CREATE INDEX lanyard_provider_tokens_owner ON lanyard_provider_tokens (tenant, subject, created_at DESC NULLS LAST, id);
CREATE INDEX lanyard_provider_tokens_expiry ON lanyard_provider_tokens (expires_at) WHERE expires_at IS NOT NULL;
CREATE INDEX lanyard_provider_tokens_owner_key ON lanyard_provider_tokens (tenant, subject, owner_key_id);

CREATE TABLE lanyard_events (
    id            text COLLATE "C" PRIMARY KEY,
    tenant        text COLLATE "C" NOT NULL,
    subject       text COLLATE "C" NOT NULL,
    at            bigint NOT NULL,
    actor_tenant  text   NOT NULL,
    actor_subject text   NOT NULL,
    via           text   NOT NULL,
    action        text   NOT NULL,
    object        text   NOT NULL,
    request_id    text   NOT NULL,
    ip            text   NOT NULL,
    user_agent    text   NOT NULL,
    dedupe_key    text COLLATE "C",
    detail        text
);

CREATE INDEX lanyard_events_owner ON lanyard_events (tenant, subject, at DESC, id);
CREATE UNIQUE INDEX lanyard_events_dedupe ON lanyard_events (tenant, subject, dedupe_key) WHERE dedupe_key IS NOT NULL;
CREATE INDEX lanyard_events_at ON lanyard_events (at);

INSERT INTO lanyard_schema (version, min_reader) VALUES (1, 1);
