-- Statements of the one writer of status: catalog/observations.py.

-- name: start_gateway
-- Open a new epoch of the gateway and return it with the instant until which the former one could see.
-- $1: text, gateway id; $2: timestamptz, start
INSERT INTO gateway AS g (gateway_id, epoch, started_at, observed_until)
VALUES ($1, 1, $2, $2)
ON CONFLICT (gateway_id) DO UPDATE
   SET epoch = g.epoch + 1, started_at = greatest($2, g.started_at)
RETURNING epoch, (SELECT observed_until FROM gateway WHERE gateway_id = $1) AS observed_until;

-- name: first_source_of_gateway
-- When the first source of a gateway came onto the roll. $1 gateway
SELECT min(s.created_at) FROM source s JOIN site t USING (site_id) WHERE t.gateway_id = $1;

-- name: register_gateway
-- Make the gateway known without starting an epoch, so that a roll can name it.
-- $1: text, gateway id
INSERT INTO gateway (gateway_id) VALUES ($1) ON CONFLICT DO NOTHING;

-- name: latest_instant
-- The latest instant that the status history of any source holds; new ones never lie before it.
SELECT greatest((SELECT max(since) FROM connectivity), (SELECT max(observed_until) FROM gateway));

-- name: add_gateway_unknown
-- Lay a closed unknown interval over all sources of the gateway; repeated, it becomes as long as the longer one.
-- $1: text, gateway id; $2: text, reason; $3, $4: timestamptz, [start, end)
WITH longer AS (
  UPDATE overlay_interval SET ended_at = greatest(ended_at, $4)
   WHERE gateway_id = $1 AND kind = 'unknown' AND reason = $2 AND started_at = $3
  RETURNING overlay_id)
INSERT INTO overlay_interval (gateway_id, kind, reason, started_at, ended_at)
SELECT $1, 'unknown', $2, $3::timestamptz, $4::timestamptz
 WHERE $4::timestamptz > $3::timestamptz AND NOT EXISTS (SELECT FROM longer);

-- name: tracked_sources
-- Every counted source of the gateway with its measured state.
-- $1: text, gateway id
SELECT c.source_id, c.district, c.state, c.since, c.reasons, c.first_connected_at, c.last_positive_at,
       c.unknown_reason, c.unknown_since, c.suspended_reason, c.suspended_since, c.flapping, c.obstacle, c.seen_at,
       s.gb_id, s.lifecycle
  FROM connectivity c JOIN source s USING (source_id) JOIN site t ON t.site_id = c.site_id
 WHERE t.gateway_id = $1 AND c.counted;

-- name: apply_changes
-- The one writer, see the function in schema.sql.
SELECT apply_changes($1, $2, $3::bigint[], $4::text[], $5::timestamptz[], $6::text[], $7::timestamptz[], $8::text[],
                     $9::timestamptz[], $10::text[], $11::timestamptz[], $12::boolean[]);

-- name: applied_changes
-- Which of these changes are already in: their commit was not acknowledged, yet happened.
-- $1: bigint[], sources; $2: bigint[], seqs
SELECT e.seq FROM evidence e JOIN unnest($1::bigint[], $2::bigint[]) AS t(source_id, seq)
    ON e.source_id = t.source_id AND e.seq = t.seq;

-- name: append_evidence
-- Append evidence rows, of sources that exist: no foreign key looks after that.
INSERT INTO evidence (source_id, seq, district, kind, at, received_at, last_positive_at, reason, state_after,
                      unknown_after, gateway_id, detail)
SELECT t.source_id, t.seq, t.district, t.kind, t.at, t.received_at, t.last_positive_at, t.reason, t.state_after,
       t.unknown_after, $12, t.detail::jsonb
  FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::text[], $5::timestamptz[], $6::timestamptz[],
              $7::timestamptz[], $8::text[], $9::text[], $10::text[], $11::text[])
    AS t(source_id, seq, district, kind, at, received_at, last_positive_at, reason, state_after, unknown_after, detail)
 WHERE EXISTS (SELECT FROM source s WHERE s.source_id = t.source_id);

-- name: note_contacts
-- Store why sources are not connected, and when one was first in contact.
-- $1: bigint[], sources; $2: text[], obstacle or null; $3: timestamptz[], seen or null
-- Locked in the order in which everybody else locks them.
WITH t AS (
  SELECT c.source_id, n.obstacle, n.seen_at
    FROM connectivity c
    JOIN unnest($1::bigint[], $2::text[], $3::timestamptz[]) AS n(source_id, obstacle, seen_at) USING (source_id)
   WHERE c.obstacle IS DISTINCT FROM n.obstacle OR (c.seen_at IS NULL AND n.seen_at IS NOT NULL)
   ORDER BY c.source_id FOR NO KEY UPDATE OF c)
UPDATE connectivity c
   SET obstacle = t.obstacle, seen_at = coalesce(c.seen_at, t.seen_at)
  FROM t WHERE c.source_id = t.source_id;

-- name: note_incident
-- Keep what was decided about sources that went silent together; decided again, it is the same incident.
-- $1 gateway, $2 name, $3 silent from, $4 suspected, $5 decided, $6 fault, $7 basis, $8 how many were silent
INSERT INTO incident AS i (gateway_id, name, silent_from, suspected_at, decided_at, fault, basis, silent)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
ON CONFLICT (gateway_id, name) DO UPDATE
   SET silent_from = least(i.silent_from, excluded.silent_from), decided_at = excluded.decided_at,
       fault = excluded.fault, basis = excluded.basis, silent = greatest(i.silent, excluded.silent);

-- name: advance_observed_until
-- Say that the gateway could see until now. Returns no row when a newer epoch took over.
-- $1: text, gateway id; $2: bigint, epoch; $3: timestamptz
UPDATE gateway SET observed_until = greatest(observed_until, $3) WHERE gateway_id = $1 AND epoch = $2
RETURNING observed_until;

-- name: make_history_partitions
-- Make the monthly partitions of this and the next months.
-- $1: date; $2: int, months
SELECT ensure_partitions($1, $2);
