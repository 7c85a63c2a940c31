-- Access tokens and the log of calls (catalog/access.py).

-- name: token_insert
-- Keep a new token: its hash, never itself.
-- $1 prefix, $2 SHA-256, $3 person, $4 role, $5 region, $6 created, $7 expires or null
INSERT INTO access_token (prefix, token_hash, person, role, region, created_at, expires_at)
VALUES ($1, $2, $3, $4, $5, $6, $7)
RETURNING token_id, prefix, person, role, region, created_at, expires_at, revoked_at;

-- name: token_list
-- All tokens, the newest first.
SELECT token_id, prefix, person, role, region, created_at, expires_at, revoked_at
  FROM access_token ORDER BY token_id DESC LIMIT 10000;

-- name: token_by_hash
-- The token with this hash, whether or not it is still valid.
-- $1 SHA-256
SELECT token_id, prefix, person, role, region, created_at, expires_at, revoked_at
  FROM access_token WHERE token_hash = $1;

-- name: token_live
-- Every token that is valid at $1, with its hash: kept in memory for while the database is away.
SELECT token_hash, token_id, prefix, person, role, region, created_at, expires_at, revoked_at
  FROM access_token WHERE revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $1)
 ORDER BY token_id DESC LIMIT 10000;

-- name: token_revoke
-- Revoke a token; its first revocation counts.
-- $1 token id, $2 instant
UPDATE access_token SET revoked_at = $2 WHERE token_id = $1 AND revoked_at IS NULL;

-- name: token_exists
-- Whether there is such a token at all.
SELECT true FROM access_token WHERE token_id = $1;

-- name: access_log_append
-- Append rows of the access log.
INSERT INTO access_log (at, person, role, token_prefix, client, method, route, scope, purpose, status)
SELECT * FROM unnest($1::timestamptz[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[],
                     $8::text[], $9::text[], $10::int[]);

-- name: access_log_recent
-- The newest calls.
-- $1 how many
SELECT at, person, role, token_prefix, client, method, route, scope, purpose, status
  FROM access_log ORDER BY entry_id DESC LIMIT $1;
