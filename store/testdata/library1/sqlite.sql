-- What a library of migration 1 sends, method by method, as it was written down
-- while one ran: RUN stands for what each run has of its own, and the number
-- is how many rows the statement returned or touched.

-- CheckSchema
SELECT EXISTS (SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'lanyard_schema'); -- 1
SELECT MAX(version), MAX(min_reader) FROM "lanyard_schema"; -- 1

-- CreateProfile
BEGIN;
INSERT INTO "lanyard_profiles" ("tenant", "subject", "version", "email", "email_verified", "directory_given", "directory_family", "directory_full", "locale", "zone_info", "given_name", "family_name", "created_at", "updated_at") VALUES ('acme', 'RUN', 1, 'ana@acme.example', FALSE, '', '', '', '', '', NULL, NULL, 1773500966000000, 1773500966000000) RETURNING "given_name", "family_name"; -- 1
INSERT INTO "lanyard_events" ("id", "tenant", "subject", "at", "actor_tenant", "actor_subject", "via", "action", "object", "request_id", "ip", "user_agent", "dedupe_key", "detail") VALUES ('RUN-e2', 'acme', 'RUN', 1773500966000000, 'acme', 'RUN', 'system', 'x', 'RUN', '', '', '', NULL, NULL) RETURNING "dedupe_key"; -- 1
COMMIT;

-- Profile
SELECT "p"."tenant", "p"."subject", "p"."version", "p"."email", "p"."email_verified", "p"."directory_given", "p"."directory_family", "p"."directory_full", "p"."locale", "p"."zone_info", "p"."given_name", "p"."family_name", "p"."created_at", "p"."updated_at" FROM "lanyard_profiles" AS "p" WHERE (tenant = 'acme') AND (subject = 'RUN'); -- 1

-- UpdateProfile
BEGIN;
UPDATE "lanyard_profiles" AS "p" SET "version" = 2, "email" = 'ana@acme.example', "email_verified" = FALSE, "directory_given" = '', "directory_family" = '', "directory_full" = '', "locale" = '', "zone_info" = '', "given_name" = NULL, "family_name" = NULL, "updated_at" = 1773500966000000 WHERE (tenant = 'acme') AND (subject = 'RUN') AND (version = 1); -- 1
INSERT INTO "lanyard_events" ("id", "tenant", "subject", "at", "actor_tenant", "actor_subject", "via", "action", "object", "request_id", "ip", "user_agent", "dedupe_key", "detail") VALUES ('RUN-e3', 'acme', 'RUN', 1773500966000000, 'acme', 'RUN', 'system', 'x', 'RUN', '', '', '', NULL, NULL) RETURNING "dedupe_key"; -- 1
COMMIT;

-- RefreshProfile
BEGIN;
UPDATE "lanyard_profiles" AS "p" SET "directory_given" = '', "directory_family" = '', "directory_full" = '', "locale" = '', "zone_info" = '' WHERE (tenant = 'acme') AND (subject = 'RUN') AND (version = 2); -- 1
COMMIT;

-- CreateOwnerKey
BEGIN;
INSERT INTO "lanyard_owner_keys" AS "ok" ("id", "tenant", "subject", "version", "secrets", "key_version", "wrapped", "created_at") VALUES ('RUN-ok', 'acme', 'RUN', 1, 'keyring', '1', X'01', 1773500966000000) ON CONFLICT DO NOTHING; -- 1
SELECT "ok"."id", "ok"."tenant", "ok"."subject", "ok"."version", "ok"."secrets", "ok"."key_version", "ok"."wrapped", "ok"."created_at" FROM "lanyard_owner_keys" AS "ok" WHERE (tenant = 'acme') AND (subject = 'RUN'); -- 1
COMMIT;

-- OwnerKey
SELECT "ok"."id", "ok"."tenant", "ok"."subject", "ok"."version", "ok"."secrets", "ok"."key_version", "ok"."wrapped", "ok"."created_at" FROM "lanyard_owner_keys" AS "ok" WHERE (tenant = 'acme') AND (subject = 'RUN'); -- 1

-- CreateAPIKey
BEGIN;
UPDATE lanyard_epochs SET epoch = epoch WHERE shard = 5; -- 1
INSERT INTO "lanyard_api_keys" ("id", "tenant", "subject", "shard", "version", "name", "hint", "hash", "mac", "scopes", "created_at", "expires_at", "deleted_at", "rotated_from", "create_token", "create_digest") VALUES ('RUN-k', 'acme', 'RUN', 5, 1, 'k', 'aic_', X'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa6b', X'6d6163', '["read"]', 1773500966000000, 1805036966000000, NULL, NULL, X'6b', X'646967657374') RETURNING "rotated_from"; -- 1
SELECT count(*) FROM "lanyard_api_keys" AS "k" WHERE (tenant = 'acme') AND (subject = 'RUN') AND (deleted_at IS NULL);
INSERT INTO "lanyard_events" ("id", "tenant", "subject", "at", "actor_tenant", "actor_subject", "via", "action", "object", "request_id", "ip", "user_agent", "dedupe_key", "detail") VALUES ('RUN-e4', 'acme', 'RUN', 1773500966000000, 'acme', 'RUN', 'system', 'x', 'RUN', '', '', '', NULL, NULL) RETURNING "dedupe_key"; -- 1
COMMIT;

-- APIKeyByHash
SELECT k.id, k.tenant, k.subject, k.version, k.name, k.hint, k.hash, k.mac, k.scopes, k.created_at, k.expires_at, k.deleted_at, k.rotated_from, k.create_token, k.create_digest, o.deactivated_at, e.epoch FROM lanyard_api_keys AS k JOIN lanyard_epochs AS e ON e.shard = k.shard LEFT JOIN lanyard_owner_states AS o ON o.tenant = k.tenant AND o.subject = k.subject WHERE k.hash = ?; -- bind aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa6b

-- RecordKeyUse
BEGIN;
SELECT "k"."id" FROM "lanyard_api_keys" AS "k" WHERE (id IN ('RUN-k')) AND (deleted_at IS NULL) ORDER BY "id"; -- 1
INSERT INTO "lanyard_api_key_usage" AS "u" ("key_id", "last_used_at") VALUES ('RUN-k', 1773500966000000) ON CONFLICT (key_id) DO UPDATE SET last_used_at = EXCLUDED.last_used_at WHERE (u.last_used_at < EXCLUDED.last_used_at); -- 1
COMMIT;

-- RecordKeyUse
BEGIN;
SELECT "k"."id" FROM "lanyard_api_keys" AS "k" WHERE (id IN ('RUN-k')) AND (deleted_at IS NULL) ORDER BY "id"; -- 1
INSERT INTO "lanyard_api_key_usage" AS "u" ("key_id", "last_used_at") VALUES ('RUN-k', 1773504566000000) ON CONFLICT (key_id) DO UPDATE SET last_used_at = EXCLUDED.last_used_at WHERE (u.last_used_at < EXCLUDED.last_used_at); -- 1
COMMIT;

-- APIKey
SELECT "k"."id", "k"."tenant", "k"."subject", "k"."shard", "k"."version", "k"."name", "k"."hint", "k"."hash", "k"."mac", "k"."scopes", "k"."created_at", "k"."expires_at", "k"."deleted_at", "k"."rotated_from", "k"."create_token", "k"."create_digest", u.last_used_at FROM "lanyard_api_keys" AS "k" LEFT JOIN lanyard_api_key_usage AS u ON u.key_id = k.id WHERE (tenant = 'acme') AND (subject = 'RUN') AND (id = 'RUN-k') AND (deleted_at IS NULL); -- 1

-- APIKeys
SELECT "k"."id", "k"."tenant", "k"."subject", "k"."shard", "k"."version", "k"."name", "k"."hint", "k"."hash", "k"."mac", "k"."scopes", "k"."created_at", "k"."expires_at", "k"."deleted_at", "k"."rotated_from", "k"."create_token", "k"."create_digest", u.last_used_at FROM "lanyard_api_keys" AS "k" LEFT JOIN lanyard_api_key_usage AS u ON u.key_id = k.id WHERE (tenant = 'acme') AND (subject = 'RUN') AND (deleted_at IS NULL) ORDER BY created_at DESC NULLS LAST, id; -- 1

-- APIKeyByCreateToken
SELECT "k"."id", "k"."tenant", "k"."subject", "k"."shard", "k"."version", "k"."name", "k"."hint", "k"."hash", "k"."mac", "k"."scopes", "k"."created_at", "k"."expires_at", "k"."deleted_at", "k"."rotated_from", "k"."create_token", "k"."create_digest", u.last_used_at FROM "lanyard_api_keys" AS "k" LEFT JOIN lanyard_api_key_usage AS u ON u.key_id = k.id WHERE (tenant = 'acme') AND (subject = 'RUN') AND (create_token = X'6b'); -- 1

-- UpdateAPIKey
BEGIN;
UPDATE "lanyard_epochs" AS "e" SET epoch = -700722843010972672 WHERE (shard = 5); -- 1
UPDATE "lanyard_api_keys" AS "k" SET "version" = 2, "name" = 'k', "scopes" = '["read"]', "expires_at" = 1805036966000000, "mac" = X'6d6163' WHERE (tenant = 'acme') AND (subject = 'RUN') AND (id = 'RUN-k') AND (deleted_at IS NULL) AND (version = 1); -- 1
INSERT INTO "lanyard_events" ("id", "tenant", "subject", "at", "actor_tenant", "actor_subject", "via", "action", "object", "request_id", "ip", "user_agent", "dedupe_key", "detail") VALUES ('RUN-e5', 'acme', 'RUN', 1773500966000000, 'acme', 'RUN', 'system', 'x', 'RUN', '', '', '', NULL, NULL) RETURNING "dedupe_key"; -- 1
COMMIT;

-- SignAPIKey
BEGIN;
UPDATE "lanyard_api_keys" AS "k" SET mac = X'6d6163' WHERE (tenant = 'acme') AND (subject = 'RUN') AND (id = 'RUN-k') AND (deleted_at IS NULL) AND (version = 2); -- 1
COMMIT;

-- RotateAPIKey
BEGIN;
UPDATE "lanyard_epochs" AS "e" SET epoch = -7861271040563131814 WHERE (shard = 5); -- 1
UPDATE "lanyard_api_keys" AS "k" SET "version" = 3, "name" = 'k', "scopes" = '["read"]', "expires_at" = 1805036966000000, "mac" = X'6d6163' WHERE (tenant = 'acme') AND (subject = 'RUN') AND (id = 'RUN-k') AND (deleted_at IS NULL) AND (version = 2); -- 1
SELECT EXISTS (SELECT "k"."id", "k"."tenant", "k"."subject", "k"."shard", "k"."version", "k"."name", "k"."hint", "k"."hash", "k"."mac", "k"."scopes", "k"."created_at", "k"."expires_at", "k"."deleted_at", "k"."rotated_from", "k"."create_token", "k"."create_digest" FROM "lanyard_api_keys" AS "k" WHERE (tenant = 'acme') AND (subject = 'RUN') AND (rotated_from = 'RUN-k') AND (deleted_at IS NULL));
INSERT INTO "lanyard_api_keys" ("id", "tenant", "subject", "shard", "version", "name", "hint", "hash", "mac", "scopes", "created_at", "expires_at", "deleted_at", "rotated_from", "create_token", "create_digest") VALUES ('RUN-next', 'acme', 'RUN', 5, 1, 'next', 'aic_', X'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa6e', X'6d6163', '["read"]', 1773500966000000, 1805036966000000, NULL, 'RUN-k', X'6e657874', X'646967657374'); -- 1
SELECT count(*) FROM "lanyard_api_keys" AS "k" WHERE (tenant = 'acme') AND (subject = 'RUN') AND (deleted_at IS NULL);
INSERT INTO "lanyard_events" ("id", "tenant", "subject", "at", "actor_tenant", "actor_subject", "via", "action", "object", "request_id", "ip", "user_agent", "dedupe_key", "detail") VALUES ('RUN-e6', 'acme', 'RUN', 1773500966000000, 'acme', 'RUN', 'system', 'x', 'RUN', '', '', '', NULL, NULL) RETURNING "dedupe_key"; -- 1
COMMIT;

-- DeleteAPIKey
BEGIN;
UPDATE "lanyard_epochs" AS "e" SET epoch = -2620344758545020941 WHERE (shard = 5); -- 1
UPDATE "lanyard_api_keys" AS "k" SET version = version + 1, deleted_at = 1773500966000000, mac = X'6d6163' WHERE (tenant = 'acme') AND (subject = 'RUN') AND (id = 'RUN-k') AND (deleted_at IS NULL); -- 1
INSERT INTO "lanyard_events" ("id", "tenant", "subject", "at", "actor_tenant", "actor_subject", "via", "action", "object", "request_id", "ip", "user_agent", "dedupe_key", "detail") VALUES ('RUN-e7', 'acme', 'RUN', 1773500966000000, 'acme', 'RUN', 'system', 'x', 'RUN', '', '', '', NULL, NULL) RETURNING "dedupe_key"; -- 1
COMMIT;

-- CreateAPIKey
BEGIN;
UPDATE lanyard_epochs SET epoch = epoch WHERE shard = 5; -- 1
INSERT INTO "lanyard_api_keys" ("id", "tenant", "subject", "shard", "version", "name", "hint", "hash", "mac", "scopes", "created_at", "expires_at", "deleted_at", "rotated_from", "create_token", "create_digest") VALUES ('RUN-third', 'acme', 'RUN', 5, 1, 'third', 'aic_', X'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa74', X'6d6163', '["read"]', 1773500966000000, 1805036966000000, NULL, NULL, X'7468697264', X'646967657374') RETURNING "rotated_from"; -- 1
SELECT count(*) FROM "lanyard_api_keys" AS "k" WHERE (tenant = 'acme') AND (subject = 'RUN') AND (deleted_at IS NULL);
INSERT INTO "lanyard_events" ("id", "tenant", "subject", "at", "actor_tenant", "actor_subject", "via", "action", "object", "request_id", "ip", "user_agent", "dedupe_key", "detail") VALUES ('RUN-e8', 'acme', 'RUN', 1773500966000000, 'acme', 'RUN', 'system', 'x', 'RUN', '', '', '', NULL, NULL) RETURNING "dedupe_key"; -- 1
COMMIT;

-- DeleteAPIKeyByID
SELECT "k"."id", "k"."shard" FROM "lanyard_api_keys" AS "k" WHERE (id = 'RUN-third') AND (deleted_at IS NULL) ORDER BY id; -- 1
BEGIN;
UPDATE "lanyard_epochs" AS "e" SET epoch = -8315159629932896252 WHERE (shard = 5); -- 1
SELECT "k"."id", "k"."tenant", "k"."subject", "k"."shard", "k"."version", "k"."name", "k"."hint", "k"."hash", "k"."mac", "k"."scopes", "k"."created_at", "k"."expires_at", "k"."deleted_at", "k"."rotated_from", "k"."create_token", "k"."create_digest" FROM "lanyard_api_keys" AS "k" WHERE (id IN ('RUN-third')) AND (deleted_at IS NULL) ORDER BY id; -- 1
UPDATE "lanyard_api_keys" AS "k" SET version = version + 1, deleted_at = 1773500966000000, mac = NULL WHERE (id = 'RUN-third'); -- 1
INSERT INTO "lanyard_events" ("id", "tenant", "subject", "at", "actor_tenant", "actor_subject", "via", "action", "object", "request_id", "ip", "user_agent", "dedupe_key", "detail") VALUES ('RUN-e9', 'acme', 'RUN', 1773500966000000, 'acme', 'RUN', 'system', 'api_key.deleted', 'RUN', '', '', '', NULL, NULL) RETURNING "dedupe_key"; -- 1
COMMIT;

-- APIKeyByID
SELECT "k"."id", "k"."tenant", "k"."subject", "k"."shard", "k"."version", "k"."name", "k"."hint", "k"."hash", "k"."mac", "k"."scopes", "k"."created_at", "k"."expires_at", "k"."deleted_at", "k"."rotated_from", "k"."create_token", "k"."create_digest", u.last_used_at FROM "lanyard_api_keys" AS "k" LEFT JOIN lanyard_api_key_usage AS u ON u.key_id = k.id WHERE (id = 'RUN-third'); -- 1

-- ExpiringAPIKeys
SELECT "k"."id", "k"."tenant", "k"."subject", "k"."shard", "k"."version", "k"."name", "k"."hint", "k"."hash", "k"."mac", "k"."scopes", "k"."created_at", "k"."expires_at", "k"."deleted_at", "k"."rotated_from", "k"."create_token", "k"."create_digest", u.last_used_at FROM "lanyard_api_keys" AS "k" LEFT JOIN lanyard_api_key_usage AS u ON u.key_id = k.id WHERE (deleted_at IS NULL) AND (expires_at >= 1773500966000000) AND (expires_at < 1836659366000000) AND (id > '') ORDER BY id LIMIT 10; -- 1

-- UnsignedAPIKeys
SELECT "k"."id", "k"."tenant", "k"."subject", "k"."shard", "k"."version", "k"."name", "k"."hint", "k"."hash", "k"."mac", "k"."scopes", "k"."created_at", "k"."expires_at", "k"."deleted_at", "k"."rotated_from", "k"."create_token", "k"."create_digest", u.last_used_at FROM "lanyard_api_keys" AS "k" LEFT JOIN lanyard_api_key_usage AS u ON u.key_id = k.id WHERE (deleted_at IS NULL) AND (mac IS NULL) AND (id > '') ORDER BY id LIMIT 10; -- 0

-- CreateProviderToken
BEGIN;
UPDATE lanyard_epochs SET epoch = epoch WHERE shard = 5; -- 1
INSERT INTO "lanyard_provider_tokens" ("id", "tenant", "subject", "version", "provider_id", "method_id", "label", "fields", "secrets", "owner_key_id", "origin", "account_id", "account_name", "account_email", "verdict", "reason", "checked_at", "expires_at", "created_at", "updated_at", "last_used_at") VALUES ('RUN-t', 'acme', 'RUN', 1, 'jira', '', '', NULL, '{"token":{"envelope":"AQ==","version":1,"updated_at":1773500966000000}}', 'RUN-ok', '', '', '', '', '', '', NULL, 1773500966000000, 1773500966000000, NULL, NULL); -- 1
SELECT count(*) FROM "lanyard_provider_tokens" AS "t" WHERE (tenant = 'acme') AND (subject = 'RUN');
INSERT INTO "lanyard_events" ("id", "tenant", "subject", "at", "actor_tenant", "actor_subject", "via", "action", "object", "request_id", "ip", "user_agent", "dedupe_key", "detail") VALUES ('RUN-e10', 'acme', 'RUN', 1773500966000000, 'acme', 'RUN', 'system', 'x', 'RUN', '', '', '', NULL, NULL) RETURNING "dedupe_key"; -- 1
COMMIT;

-- ProviderToken
SELECT "t"."id", "t"."tenant", "t"."subject", "t"."version", "t"."provider_id", "t"."method_id", "t"."label", "t"."fields", "t"."secrets", "t"."owner_key_id", "t"."origin", "t"."account_id", "t"."account_name", "t"."account_email", "t"."verdict", "t"."reason", "t"."checked_at", "t"."expires_at", "t"."created_at", "t"."updated_at", "t"."last_used_at" FROM "lanyard_provider_tokens" AS "t" WHERE (tenant = 'acme') AND (subject = 'RUN') AND (id = 'RUN-t'); -- 1

-- ProviderTokens
SELECT "t"."id", "t"."tenant", "t"."subject", "t"."version", "t"."provider_id", "t"."method_id", "t"."label", "t"."fields", "t"."secrets", "t"."owner_key_id", "t"."origin", "t"."account_id", "t"."account_name", "t"."account_email", "t"."verdict", "t"."reason", "t"."checked_at", "t"."expires_at", "t"."created_at", "t"."updated_at", "t"."last_used_at" FROM "lanyard_provider_tokens" AS "t" WHERE (tenant = 'acme') AND (subject = 'RUN') ORDER BY created_at DESC NULLS LAST, id; -- 1

-- UpdateProviderToken
BEGIN;
UPDATE "lanyard_provider_tokens" AS "t" SET "version" = 2, "method_id" = '', "label" = '', "fields" = NULL, "secrets" = '{"token":{"envelope":"AQ==","version":1,"updated_at":1773500966000000}}', "owner_key_id" = 'RUN-ok', "origin" = '', "account_id" = '', "account_name" = '', "account_email" = '', "verdict" = '', "reason" = '', "checked_at" = NULL, "expires_at" = 1773500966000000, "updated_at" = NULL WHERE (tenant = 'acme') AND (subject = 'RUN') AND (id = 'RUN-t') AND (version = 1); -- 1
INSERT INTO "lanyard_events" ("id", "tenant", "subject", "at", "actor_tenant", "actor_subject", "via", "action", "object", "request_id", "ip", "user_agent", "dedupe_key", "detail") VALUES ('RUN-e11', 'acme', 'RUN', 1773500966000000, 'acme', 'RUN', 'system', 'x', 'RUN', '', '', '', NULL, NULL) RETURNING "dedupe_key"; -- 1
COMMIT;

-- RecordTokenUse
BEGIN;
UPDATE "lanyard_provider_tokens" AS "t" SET last_used_at = 1773500966000000 WHERE (tenant = 'acme') AND (subject = 'RUN') AND (id = 'RUN-t') AND ((last_used_at IS NULL OR last_used_at < 1773500966000000)); -- 1
COMMIT;

-- ExpiringProviderTokens
SELECT "t"."id", "t"."tenant", "t"."subject", "t"."version", "t"."provider_id", "t"."method_id", "t"."label", "t"."fields", "t"."secrets", "t"."owner_key_id", "t"."origin", "t"."account_id", "t"."account_name", "t"."account_email", "t"."verdict", "t"."reason", "t"."checked_at", "t"."expires_at", "t"."created_at", "t"."updated_at", "t"."last_used_at" FROM "lanyard_provider_tokens" AS "t" WHERE (expires_at >= 1773500966000000) AND (expires_at < 1836659366000000) AND (id > '') ORDER BY id LIMIT 10; -- 1

-- AllProviderTokens
SELECT "t"."id", "t"."tenant", "t"."subject", "t"."version", "t"."provider_id", "t"."method_id", "t"."label", "t"."fields", "t"."secrets", "t"."owner_key_id", "t"."origin", "t"."account_id", "t"."account_name", "t"."account_email", "t"."verdict", "t"."reason", "t"."checked_at", "t"."expires_at", "t"."created_at", "t"."updated_at", "t"."last_used_at" FROM "lanyard_provider_tokens" AS "t" WHERE (id > '') ORDER BY id LIMIT 10; -- 1

-- AllOwnerKeys
SELECT "ok"."id", "ok"."tenant", "ok"."subject", "ok"."version", "ok"."secrets", "ok"."key_version", "ok"."wrapped", "ok"."created_at" FROM "lanyard_owner_keys" AS "ok" WHERE (id > '') ORDER BY id LIMIT 10; -- 1

-- RewrapOwnerKey
BEGIN;
UPDATE "lanyard_owner_keys" AS "ok" SET "version" = 2, "secrets" = 'keyring', "key_version" = '1', "wrapped" = X'01' WHERE (tenant = 'acme') AND (subject = 'RUN') AND (id = 'RUN-ok') AND (version = 1); -- 1
COMMIT;

-- CountOwnerKeys
SELECT "ok"."secrets", "ok"."key_version", COUNT(*) AS count FROM "lanyard_owner_keys" AS "ok" GROUP BY "secrets", "key_version" ORDER BY "secrets", "key_version"; -- 1

-- DeleteProviderToken
BEGIN;
DELETE FROM "lanyard_provider_tokens" AS "t" WHERE (tenant = 'acme') AND (subject = 'RUN') AND (id = 'RUN-t'); -- 1
INSERT INTO "lanyard_events" ("id", "tenant", "subject", "at", "actor_tenant", "actor_subject", "via", "action", "object", "request_id", "ip", "user_agent", "dedupe_key", "detail") VALUES ('RUN-e12', 'acme', 'RUN', 1773500966000000, 'acme', 'RUN', 'system', 'x', 'RUN', '', '', '', NULL, NULL) RETURNING "dedupe_key"; -- 1
COMMIT;

-- Append
BEGIN;
INSERT INTO "lanyard_events" ("id", "tenant", "subject", "at", "actor_tenant", "actor_subject", "via", "action", "object", "request_id", "ip", "user_agent", "dedupe_key", "detail") VALUES ('RUN-e13', 'acme', 'RUN', 1773500966000000, 'acme', 'RUN', 'system', 'x', 'RUN', '', '', '', 'RUN', NULL); -- 1
COMMIT;

-- Events
SELECT "ev"."id", "ev"."tenant", "ev"."subject", "ev"."at", "ev"."actor_tenant", "ev"."actor_subject", "ev"."via", "ev"."action", "ev"."object", "ev"."request_id", "ev"."ip", "ev"."user_agent", "ev"."dedupe_key", "ev"."detail" FROM "lanyard_events" AS "ev" WHERE (tenant = 'acme') AND (subject = 'RUN') ORDER BY at DESC, id LIMIT 10; -- 10

-- Epochs
SELECT "e"."shard", "e"."epoch" FROM "lanyard_epochs" AS "e" ORDER BY shard; -- 256

-- OwnerState
SELECT "o"."tenant", "o"."subject", "o"."deactivated_at" FROM "lanyard_owner_states" AS "o" WHERE (tenant = 'acme') AND (subject = 'RUN'); -- 0

-- Deactivate
BEGIN;
UPDATE "lanyard_epochs" AS "e" SET epoch = 2738585627363444083 WHERE (shard = 5); -- 1
INSERT INTO "lanyard_owner_states" AS "o" ("tenant", "subject", "deactivated_at") VALUES ('acme', 'RUN', 1773500966000000) ON CONFLICT (tenant, subject) DO NOTHING; -- 1
INSERT INTO "lanyard_events" ("id", "tenant", "subject", "at", "actor_tenant", "actor_subject", "via", "action", "object", "request_id", "ip", "user_agent", "dedupe_key", "detail") VALUES ('RUN-e14', 'acme', 'RUN', 1773500966000000, 'acme', 'RUN', 'system', 'x', 'RUN', '', '', '', NULL, NULL) RETURNING "dedupe_key"; -- 1
COMMIT;

-- Reactivate
BEGIN;
UPDATE "lanyard_epochs" AS "e" SET epoch = 5789470598120155308 WHERE (shard = 5); -- 1
DELETE FROM "lanyard_owner_states" AS "o" WHERE (tenant = 'acme') AND (subject = 'RUN'); -- 1
INSERT INTO "lanyard_events" ("id", "tenant", "subject", "at", "actor_tenant", "actor_subject", "via", "action", "object", "request_id", "ip", "user_agent", "dedupe_key", "detail") VALUES ('RUN-e15', 'acme', 'RUN', 1773500966000000, 'acme', 'RUN', 'system', 'x', 'RUN', '', '', '', NULL, NULL) RETURNING "dedupe_key"; -- 1
COMMIT;

-- Purge
BEGIN;
DELETE FROM "lanyard_events" WHERE ("id" IN (SELECT "id" FROM "lanyard_events" WHERE ("at" < 1000000) ORDER BY "at" LIMIT 1000)); -- 0
COMMIT;
BEGIN;
DELETE FROM "lanyard_api_key_usage" WHERE ("key_id" IN (SELECT "key_id" FROM "lanyard_api_key_usage" WHERE ("last_used_at" < 1000000) ORDER BY "last_used_at" LIMIT 1000)); -- 0
COMMIT;
BEGIN;
DELETE FROM "lanyard_api_keys" WHERE ("id" IN (SELECT "id" FROM "lanyard_api_keys" WHERE ("deleted_at" < 1000000) ORDER BY "deleted_at" LIMIT 1000)); -- 0
COMMIT;

-- Erase
BEGIN;
UPDATE "lanyard_epochs" AS "e" SET epoch = -2529917910463341017 WHERE (shard = 5); -- 1
DELETE FROM "lanyard_profiles" AS "p" WHERE (tenant = 'acme') AND (subject = 'RUN'); -- 1
DELETE FROM "lanyard_api_keys" AS "k" WHERE (tenant = 'acme') AND (subject = 'RUN'); -- 3
DELETE FROM "lanyard_provider_tokens" AS "t" WHERE (tenant = 'acme') AND (subject = 'RUN'); -- 0
DELETE FROM "lanyard_owner_keys" AS "ok" WHERE (tenant = 'acme') AND (subject = 'RUN'); -- 1
DELETE FROM "lanyard_events" AS "ev" WHERE (tenant = 'acme') AND (subject = 'RUN'); -- 14
DELETE FROM "lanyard_owner_states" AS "o" WHERE (tenant = 'acme') AND (subject = 'RUN'); -- 0
INSERT INTO "lanyard_events" ("id", "tenant", "subject", "at", "actor_tenant", "actor_subject", "via", "action", "object", "request_id", "ip", "user_agent", "dedupe_key", "detail") VALUES ('RUN-e1', 'acme', '', 1773500966000000, '', '', 'system', 'owner.erased', '', '', '', '', NULL, NULL) RETURNING "dedupe_key"; -- 1
COMMIT;

-- Erasures
SELECT "ev"."id", "ev"."tenant", "ev"."subject", "ev"."at", "ev"."actor_tenant", "ev"."actor_subject", "ev"."via", "ev"."action", "ev"."object", "ev"."request_id", "ev"."ip", "ev"."user_agent", "ev"."dedupe_key", "ev"."detail" FROM "lanyard_events" AS "ev" WHERE (tenant = 'acme') AND (subject = '') ORDER BY at DESC, id LIMIT 10; -- 1
