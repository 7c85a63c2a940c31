-- Sightings: what was seen, what it matches, and what people decided about it.

-- name: sighting_lock_writer
-- Let one batch of sightings in at a time, until its transaction ends.
-- $1: bigint, key of the lock
SELECT pg_advisory_xact_lock($1);

-- name: sighting_present
-- What is stored of these addresses, locked until the transaction ends.
-- $1: text[], protocols; $2: text[], hosts; $3: int[], ports
SELECT i.protocol, i.host, i.port, i.state, coalesce(s.lifecycle = 'removed', false) AS source_gone
  FROM unnest($1::text[], $2::text[], $3::int[]) AS t(protocol, host, port)
  JOIN sighting i USING (protocol, host, port)
  LEFT JOIN source s ON s.source_id = i.source_id
 ORDER BY i.sighting_id FOR UPDATE OF i;

-- name: sighting_candidates
-- Sources of the roll that any of these facts points at, one row an endpoint.
-- $1: text[], hosts; $2: text[], codes; $3: text[], MACs; $4: text[], serial numbers
SELECT s.source_id, coalesce(s.name, s.gb_id, s.roll_key) AS label, s.lifecycle, s.gb_id, s.mac, s.serial,
       e.protocol, e.host, e.port, e.path, e.confirmed_at IS NOT NULL AS is_attested
  FROM (SELECT source_id FROM endpoint WHERE host = ANY ($1)
        UNION SELECT source_id FROM source WHERE gb_id = ANY ($2)
        UNION SELECT source_id FROM source WHERE mac = ANY ($3)
        UNION SELECT source_id FROM source WHERE serial = ANY ($4)) hit
  JOIN source s USING (source_id)
  LEFT JOIN endpoint e ON e.source_id = s.source_id
 WHERE s.lifecycle <> 'removed'
 ORDER BY s.source_id, e.priority, e.endpoint_id;

-- name: sighting_upsert
-- Take in a batch. What a person decided keeps its source and reason and only moves its last_seen_at.
-- $1: bigint, authorisation or null; $2: text[], protocol; $3: text[], host; $4: int[], port; $5: text[], server;
-- $6: text[], MAC; $7: text[], serial; $8: text[], code; $9: timestamptz[], seen; $10: text[], state;
-- $11: bigint[], source; $12: text[], rule; $13: text[], reason; $14: text[], detail as JSON
INSERT INTO sighting AS i (network_id, protocol, host, port, server, mac, serial, gb_id, first_seen_at, last_seen_at,
                           state, source_id, match_rule, match_reason, detail)
SELECT $1::bigint, t.protocol, t.host, t.port, t.server, t.mac, t.serial, t.gb_id, t.at, t.at,
       t.state, t.source_id, t.rule, t.reason, t.detail::jsonb
  FROM unnest($2::text[], $3::text[], $4::int[], $5::text[], $6::text[], $7::text[], $8::text[], $9::timestamptz[],
              $10::text[], $11::bigint[], $12::text[], $13::text[], $14::text[])
    AS t(protocol, host, port, server, mac, serial, gb_id, at, state, source_id, rule, reason, detail)
ON CONFLICT (protocol, host, port) DO UPDATE
   SET network_id = coalesce(excluded.network_id, i.network_id),
       server = coalesce(excluded.server, i.server), mac = coalesce(excluded.mac, i.mac),
       serial = coalesce(excluded.serial, i.serial), gb_id = coalesce(excluded.gb_id, i.gb_id),
       last_seen_at = greatest(i.last_seen_at, excluded.last_seen_at),
       state = excluded.state,
       source_id = CASE WHEN excluded.state IN ('accepted', 'refused') THEN i.source_id ELSE excluded.source_id END,
       match_rule = CASE WHEN excluded.state IN ('accepted', 'refused') THEN i.match_rule ELSE excluded.match_rule END,
       match_reason = CASE WHEN excluded.state IN ('accepted', 'refused') THEN i.match_reason
                           ELSE excluded.match_reason END,
       detail = CASE WHEN excluded.state IN ('accepted', 'refused') THEN i.detail
                     ELSE (i.detail - 'candidates') || excluded.detail END,
       decided_at = CASE WHEN excluded.state IN ('accepted', 'refused') THEN i.decided_at END,
       decided_by = CASE WHEN excluded.state IN ('accepted', 'refused') THEN i.decided_by END
RETURNING i.sighting_id, i.protocol, i.host, i.port, i.state;

-- name: sighting_for_decision
-- One sighting, locked until the transaction ends.
-- $1: bigint, the sighting
SELECT sighting_id, protocol, host, port, state, source_id, match_rule, match_reason, detail ->> 'path' AS path,
       decided_at, decided_by
  FROM sighting WHERE sighting_id = $1 FOR UPDATE;

-- name: sighting_decide
-- Write a person's decision.
-- $1: bigint, the sighting; $2: text, state; $3: bigint, source or null; $4: text, rule or null; $5: text, reason;
-- $6: timestamptz, now; $7: text, the person
UPDATE sighting SET state = $2, source_id = $3, match_rule = $4, match_reason = $5, decided_at = $6, decided_by = $7
 WHERE sighting_id = $1;

-- name: sighting_source_paths
-- The ways to reach a source by one protocol, those of the same host and port first.
-- $1: bigint, the source; $2: text, protocol; $3: text, host; $4: int, port
SELECT path, host = $3 AND port = $4 AS is_here
  FROM endpoint WHERE source_id = $1 AND protocol = $2
 ORDER BY (host = $3 AND port = $4) DESC, (host = $3) DESC, priority, endpoint_id;

-- name: sighting_address_taken
-- Another source that a person attested at the same address and path.
-- $1: bigint, the source; $2: text, protocol; $3: text, host; $4: int, port; $5: text[], paths
SELECT s.source_id, coalesce(s.name, s.gb_id, s.roll_key) AS label
  FROM endpoint e JOIN source s USING (source_id)
 WHERE e.protocol = $2 AND e.host = $3 AND e.port = $4 AND e.path = ANY ($5) AND e.confirmed_at IS NOT NULL
   AND s.source_id <> $1 AND s.lifecycle <> 'removed'
 ORDER BY s.source_id LIMIT 1;

-- name: sighting_confirm_endpoint
-- Attest that a source is reached at an address; the credential and transport are those that the source has already,
-- for the same protocol before others, on the same host before others. An attestation that stands is left alone, and so is the origin of an endpoint that was there:
-- the roll must find its own again.
-- $1: bigint, the source; $2: text, protocol; $3: text, host; $4: int, port; $5: text, path; $6: timestamptz, now;
-- $7: text, the person
INSERT INTO endpoint AS e (source_id, protocol, host, port, path, transport, credential_id, origin, confirmed_at,
                           confirmed_by, priority)
SELECT $1::bigint, $2, $3, $4, $5, coalesce(like_it.transport, 'tcp'), like_it.credential_id, 'sighting',
       $6::timestamptz, $7, coalesce((SELECT max(priority) + 1 FROM endpoint WHERE source_id = $1), 0)
  FROM (SELECT) AS one
  LEFT JOIN LATERAL (SELECT transport, credential_id FROM endpoint WHERE source_id = $1
                      ORDER BY (protocol = $2) DESC, (host = $3) DESC, (credential_id IS NULL), priority, endpoint_id LIMIT 1) AS like_it
         ON true
ON CONFLICT (source_id, protocol, host, port, path) DO UPDATE
   SET confirmed_at = excluded.confirmed_at, confirmed_by = excluded.confirmed_by
 WHERE e.confirmed_at IS NULL;

-- name: sighting_attested_elsewhere
-- A source that the roll attests at an address, or for which an operator entered the address.
-- $1: text, protocol; $2: text, host; $3: int, port
SELECT s.source_id, coalesce(s.name, s.gb_id, s.roll_key) AS label, e.origin
  FROM endpoint e JOIN source s USING (source_id)
 WHERE e.protocol = $1 AND e.host = $2 AND e.port = $3 AND e.confirmed_at IS NOT NULL
   AND (e.origin = 'operator' OR e.confirmed_by LIKE 'roll:%') AND s.lifecycle <> 'removed'
 ORDER BY s.source_id LIMIT 1;

-- name: sighting_withdraw_endpoints
-- Take back what a person attested by way of a sighting: nothing is pulled from there any more.
-- $1: text, protocol; $2: text, host; $3: int, port
UPDATE endpoint SET confirmed_at = NULL, confirmed_by = NULL
 WHERE protocol = $1 AND host = $2 AND port = $3 AND confirmed_at IS NOT NULL
   AND origin <> 'operator' AND confirmed_by NOT LIKE 'roll:%';

-- name: sighting_source_lifecycle
-- A source locked until the transaction ends, with what an operator knows it by.
-- $1: bigint, the source
SELECT source_id, lifecycle, lifecycle_reason, coalesce(name, gb_id, roll_key) AS label
  FROM source WHERE source_id = $1 FOR NO KEY UPDATE;

-- name: sighting_forget
-- Forget what stayed in quarantine and was not seen again.
-- $1: timestamptz, last seen before
DELETE FROM sighting WHERE state = 'quarantined' AND last_seen_at < $1;
