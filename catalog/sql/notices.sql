-- Who is told what happens, and what there is to tell (catalog/notice_targets.py, catalog/notices.py).

-- name: notice_target_add
-- Add a target that is told from now on. $1 name, $2 gateway, $3 kind, $4 address, $5 sender, $6 recipients,
-- $7 credential, $8 region, $9 events, $10 seconds, $11 language, $12 today
INSERT INTO notice_target (name, gateway_id, kind, address, sender, recipients, credential_id, region, events, collect,
                           language, told_seq, told_day)
SELECT $1, $2, $3, $4, $5, $6::text[], $7::bigint, $8, $9::text[], $10, $11, coalesce(max(seq), 0), $12 FROM evidence
RETURNING target_id;

-- name: notice_target_list
-- The targets with what is needed to reach them, oldest first. $1 gateway
SELECT t.*, k.ref, k.version, k.username, k.password_encrypted
  FROM notice_target t LEFT JOIN credential k USING (credential_id)
 WHERE t.gateway_id = $1 ORDER BY t.target_id;

-- name: notice_target_remove
-- Forget a target. $1 gateway, $2 name
DELETE FROM notice_target WHERE gateway_id = $1 AND name = $2;

-- name: notice_begin
-- A notice is under way. $1 target, $2 evidence up to here, $3 days before this one
UPDATE notice_target SET pending_seq = $2, pending_day = $3 WHERE target_id = $1;

-- name: notice_done
-- The notice under way was taken, or there was nothing in it. $1 target, $2 when it was sent, or null
UPDATE notice_target
   SET told_seq = pending_seq, told_day = pending_day, pending_seq = NULL, pending_day = NULL,
       sent_at = coalesce($2, sent_at), failing_since = NULL, failure = NULL
 WHERE target_id = $1;

-- name: notice_failed
-- The notice under way was not taken. $1 target, $2 when, $3 why
UPDATE notice_target SET failing_since = coalesce(failing_since, $2), failure = $3 WHERE target_id = $1;

-- name: notice_waiting
-- Up to where there is something to tell, since when it waits, and how much. $1 told seq, $2, $3 region, $4 limit
SELECT max(seq) AS last_seq, min(received_at) AS waiting_since, count(*) AS number
  FROM (SELECT seq, received_at FROM evidence
         WHERE seq > $1 AND district BETWEEN $2 AND $3 AND kind IN ('connected', 'alive', 'lost', 'left')
           AND state_after <> 'never_connected'
         ORDER BY seq LIMIT $4) x;

-- name: notice_happenings
-- The facts of a notice, in order, each with the state that it ended, if any: an answer after a restart of ours
-- ends none. $1 told seq, $2 pending seq, $3, $4 region
WITH told AS MATERIALIZED (SELECT min(at) AS first, max(at) AS last FROM evidence WHERE seq > $1 AND seq <= $2),
w AS MATERIALIZED (SELECT f.* FROM told, suspensions_in_force(told.first, told.last) f)
SELECT e.seq, e.source_id, e.at, e.state_after, e.reason, e.detail ->> 'incident' AS incident, e.district,
       t.name AS site, t.class, u.name AS unit, e.kind = 'connected' AND e.at = c.first_connected_at AS is_first,
       (SELECT i.state FROM connectivity_interval i WHERE i.source_id = e.source_id AND i.ended_at = e.at
         ORDER BY i.started_at DESC LIMIT 1) AS state_before,
       EXISTS (SELECT FROM w WHERE w.site_id = s.site_id AND (w.source_id IS NULL OR w.source_id = s.source_id)
                  AND w.starts_at <= e.at AND e.at < w.ends_at) AS is_suspended
  FROM evidence e
  JOIN source s ON s.source_id = e.source_id
  JOIN connectivity c ON c.source_id = e.source_id
  JOIN site t ON t.site_id = s.site_id
  JOIN system y ON y.system_id = t.system_id
  JOIN unit u ON u.unit_id = y.unit_id
 WHERE e.seq > $1 AND e.seq <= $2 AND e.district BETWEEN $3 AND $4
   AND e.kind IN ('connected', 'alive', 'lost', 'left') AND e.state_after <> 'never_connected'
 ORDER BY e.seq;

-- name: notice_overdue
-- Sites whose due day lies in these days and that have required sources that never connected. $1 first day,
-- $2 day after the last, $3, $4 region
SELECT t.site_id, t.name AS site, t.class, t.district, u.name AS unit, min(d.due_on) AS due_on,
       count(DISTINCT s.source_id) AS never
  FROM duty d
  JOIN site t ON t.site_id = d.site_id OR t.system_id = d.system_id
  JOIN system y ON y.system_id = t.system_id
  JOIN unit u ON u.unit_id = y.unit_id
  JOIN source s ON s.site_id = t.site_id AND s.lifecycle = 'required'
  JOIN connectivity c ON c.source_id = s.source_id AND c.counted AND c.state = 'never_connected'
 WHERE d.withdrawn_on IS NULL AND d.effective_from < $2 AND d.due_on >= $1 AND d.due_on < $2
   AND t.district BETWEEN $3 AND $4
 GROUP BY t.site_id, u.unit_id ORDER BY min(d.due_on), t.site_id;
