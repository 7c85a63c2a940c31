-- Central platforms that take our streams by RTSP RECORD.

-- name: sink_list
-- All sinks with what is needed to push to them, oldest first.
SELECT s.sink_id, s.name, s.host, s.port, s.path_prefix, s.tls, s.tls_pin_sha256, s.allow_basic, s.enabled,
       k.credential_id, k.ref, k.version, k.username, k.password_encrypted
  FROM sink s LEFT JOIN credential k USING (credential_id)
 ORDER BY s.sink_id;

-- name: sink_add
-- Add a sink, enabled.
-- $1: name, $2: host, $3: port, $4: path prefix, $5: TLS, $6: pin, $7: Basic allowed, $8: bigint, credential or null
INSERT INTO sink (name, host, port, path_prefix, tls, tls_pin_sha256, allow_basic, credential_id)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8) RETURNING sink_id;

-- name: sink_remove
-- Forget a sink.
-- $1: text, its name
DELETE FROM sink WHERE name = $1;

-- name: sink_enable
-- Use a sink or leave it unused.
-- $1: text, its name; $2: boolean
UPDATE sink SET enabled = $2 WHERE name = $1;
