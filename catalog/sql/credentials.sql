-- Credentials of devices and superiors; the passwords are encrypted before they come here (catalog.credentials).

-- name: credential_ensure
-- Make the row of a credential that nobody named before.
-- $1: text, the ref
INSERT INTO credential (ref) VALUES ($1) ON CONFLICT (ref) DO NOTHING;

-- name: credential_lock
-- The id of a credential, locked until the transaction ends: two people setting it wait for each other.
-- $1: text, the ref
SELECT credential_id FROM credential WHERE ref = $1 FOR UPDATE;

-- name: credential_set
-- Store user name and encrypted password; returns the new version.
-- $1: bigint, the credential; $2: text, user name; $3: text, enc:v1:...; $4: timestamptz; $5: text, the person
UPDATE credential
   SET username = $2, password_encrypted = $3, version = version + 1, changed_at = $4, changed_by = $5
 WHERE credential_id = $1
RETURNING version;

-- name: credential_by_ref
-- A credential with its password.
-- $1: text, the ref
SELECT credential_id, ref, version, username, password_encrypted
  FROM credential
 WHERE ref = $1 AND password_encrypted IS NOT NULL;

-- name: credential_refs
-- Every credential with what is known of it, never the password; oldest first.
SELECT credential_id, ref, username, password_encrypted IS NOT NULL AS is_set, version, changed_at, changed_by
  FROM credential
 ORDER BY credential_id;
