-- What decides about a source's relay, and the changes a person makes to it.

-- name: source_plans
-- Counted sources of a gateway with their endpoints, one row an endpoint, in order of source and priority.
-- $1: text, the gateway; $2: bigint[], only these sources; null = all
SELECT s.source_id, coalesce(s.gb_id, 'source-' || s.source_id) AS code, s.lifecycle, s.location_type,
       t.class AS site_class, s.district, j.profile, j.base_profile, s.relay_mode, s.audio_enabled, s.allow_basic,
       least(of_site.due_on, of_system.due_on) AS due_on, c.first_connected_at IS NOT NULL AS has_connected,
       e.endpoint_id, e.protocol, e.host, e.port, e.path, e.transport, e.confirmed_at IS NOT NULL AS is_confirmed,
       e.tls_pin_sha256, e.refusals, e.refused_at, e.refused_credential_version,
       k.credential_id, k.ref, k.version, k.username, k.password_encrypted
  FROM source s
  JOIN connectivity c ON c.source_id = s.source_id AND c.counted
  JOIN site t ON t.site_id = s.site_id AND t.gateway_id = $1
  JOIN jurisdiction j ON j.district = s.district
  LEFT JOIN (SELECT site_id, min(due_on) AS due_on FROM duty
              WHERE withdrawn_on IS NULL AND site_id IS NOT NULL GROUP BY site_id) of_site ON of_site.site_id = t.site_id
  LEFT JOIN (SELECT system_id, min(due_on) AS due_on FROM duty
              WHERE withdrawn_on IS NULL AND system_id IS NOT NULL GROUP BY system_id) of_system
         ON of_system.system_id = t.system_id
  LEFT JOIN endpoint e ON e.source_id = s.source_id
  LEFT JOIN credential k ON k.credential_id = e.credential_id
 WHERE $2::bigint[] IS NULL OR s.source_id = ANY ($2)
 ORDER BY s.source_id, e.priority, e.endpoint_id;

-- name: source_for_edit
-- One source, locked until the transaction ends.
-- $1: bigint, the source
-- Not FOR UPDATE: evidence being written refers to the row, and its writer must not wait for us while we wait for it.
SELECT source_id, site_id, district, lifecycle FROM source WHERE source_id = $1 FOR NO KEY UPDATE;

-- name: source_edit
-- Set the named columns of a source, and only those.
-- $1: bigint, the source; $2: text[], names of the columns to set; $3-$8: their values
UPDATE source
   SET location_type = CASE WHEN 'location_type' = ANY ($2::text[]) THEN $3 ELSE location_type END,
       relay_mode = CASE WHEN 'relay_mode' = ANY ($2::text[]) THEN $4 ELSE relay_mode END,
       audio_enabled = CASE WHEN 'audio_enabled' = ANY ($2::text[]) THEN $5 ELSE audio_enabled END,
       allow_basic = CASE WHEN 'allow_basic' = ANY ($2::text[]) THEN $6 ELSE allow_basic END,
       mac = CASE WHEN 'mac' = ANY ($2::text[]) THEN $7 ELSE mac END,
       serial = CASE WHEN 'serial' = ANY ($2::text[]) THEN $8 ELSE serial END
 WHERE source_id = $1;

-- name: source_set_lifecycle
-- Move a source on the administrative axis.
-- $1: bigint, the source; $2: text, the lifecycle; $3: text, the reason; $4: timestamptz, retired at, for removed
UPDATE source SET lifecycle = $2, lifecycle_reason = $3, retired_at = $4 WHERE source_id = $1;

-- name: source_set_counted
-- Take a source into or out of every count; recount_rollups follows in the same transaction.
-- $1: bigint, the source; $2: boolean
UPDATE connectivity SET counted = $2 WHERE source_id = $1;

-- name: source_lock_site_counts
-- Wait for status being written at a site, and hold further writing back, so that the recount sees all of it.
-- $1: bigint, the site
SELECT source_id FROM connectivity WHERE site_id = $1 ORDER BY source_id FOR NO KEY UPDATE;

-- name: source_lock_district_counts
-- The same for the counts of a district, after source_lock_site_counts: the order in which the one writer locks.
-- $1: text, the district
SELECT FROM district_rollup WHERE district = $1 ORDER BY gateway_id, bound_from FOR NO KEY UPDATE;

-- name: source_recount_site
-- Count a site and its district anew.
-- $1: bigint, the site
SELECT recount_rollups(ARRAY[$1::bigint]);

-- name: endpoint_add
-- Add a way to reach a source, last in order; confirmed when a person is given.
-- $1: source, $2: protocol, $3: host, $4: port, $5: path, $6: transport, $7: credential, $8: pin, $9: origin,
-- $10: text, who attests the address, or null; $11: timestamptz, when
INSERT INTO endpoint (source_id, protocol, host, port, path, transport, credential_id, tls_pin_sha256, origin,
                      confirmed_at, confirmed_by, priority)
SELECT $1::bigint, $2, $3, $4, $5, $6, $7, $8, $9, CASE WHEN $10::text IS NOT NULL THEN $11::timestamptz END, $10,
       coalesce((SELECT max(priority) + 1 FROM endpoint WHERE source_id = $1), 0)
RETURNING endpoint_id;

-- name: endpoint_confirm
-- Note that a person attested that this address is this source.
-- $1: bigint, the source; $2: bigint, the endpoint; $3: timestamptz; $4: text, the person
UPDATE endpoint SET confirmed_at = $3, confirmed_by = $4 WHERE source_id = $1 AND endpoint_id = $2;

-- name: endpoint_remove
-- Forget a way to reach a source.
-- $1: bigint, the source; $2: bigint, the endpoint
DELETE FROM endpoint WHERE source_id = $1 AND endpoint_id = $2;

-- name: endpoint_pin
-- Pin the certificate of an endpoint, or take the pin away with null.
-- $1: bigint, the source; $2: bigint, the endpoint; $3: text, SHA-256 in hex
UPDATE endpoint SET tls_pin_sha256 = $3 WHERE source_id = $1 AND endpoint_id = $2;

-- name: endpoint_set_credential
-- Name the credential that the device of an endpoint asks for; the refusals of another one are forgotten.
-- $1: bigint, the source; $2: bigint, the endpoint; $3: bigint, the credential or null
UPDATE endpoint SET credential_id = $3, refusals = 0, refused_at = NULL, refused_credential_version = NULL
 WHERE source_id = $1 AND endpoint_id = $2;

-- name: endpoint_refused
-- Count a refusal of a credential, for every channel of the device that refused it: it may lock the account.
-- $1: bigint, the endpoint; $2: int, the refused version; $3: timestamptz, when; $4: int, how often
UPDATE endpoint e
   SET refusals = CASE WHEN e.refused_credential_version = $2 THEN e.refusals ELSE 0 END + $4::int,
       refused_at = $3, refused_credential_version = $2
  FROM endpoint one
 WHERE one.endpoint_id = $1 AND e.host = one.host AND e.port = one.port
   AND e.credential_id IS NOT DISTINCT FROM one.credential_id;

-- name: endpoint_accepted
-- Forget the refusals of a device that took the credential.
-- $1: bigint, the endpoint
UPDATE endpoint e SET refusals = 0, refused_at = NULL, refused_credential_version = NULL
  FROM endpoint one
 WHERE one.endpoint_id = $1 AND e.host = one.host AND e.port = one.port
   AND e.credential_id IS NOT DISTINCT FROM one.credential_id AND e.refusals > 0;

-- name: credential_named
-- The credential of this name, made without a password when it is new.
-- $1: text, the name
WITH made AS (INSERT INTO credential (ref) VALUES ($1) ON CONFLICT (ref) DO NOTHING RETURNING credential_id)
SELECT credential_id FROM made UNION ALL SELECT credential_id FROM credential WHERE ref = $1 LIMIT 1;
