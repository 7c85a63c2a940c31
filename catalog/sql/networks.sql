-- Authorisation records: which network may be asked, on whose word, until when (CN-23.3).

-- name: network_add
-- Enter a record.
-- $1: cidr; $2: text, document; $3: text, approver; $4: text, who enters it; $5: timestamptz, now; $6: timestamptz, expiry
INSERT INTO network (cidr, document, approver, authorised_by, authorised_at, expires_at)
VALUES ($1, $2, $3, $4, $5, $6) RETURNING network_id;

-- name: network_list
-- Every record, the newest first.
SELECT network_id, cidr, document, approver, authorised_by, authorised_at, expires_at, revoked_at
  FROM network ORDER BY network_id DESC;

-- name: network_revoke
-- End a record before its expiry; the first revocation stands.
-- $1: bigint, the record; $2: timestamptz, now; $3: text, the person
UPDATE network SET revoked_at = coalesce(revoked_at, $2), revoked_by = coalesce(revoked_by, $3) WHERE network_id = $1;
