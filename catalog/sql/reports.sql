-- What people and the police read (catalog/reports.py). Nothing here writes.
-- Common parameters: $1 now, $2 after which silence a gateway counts as blind, $3 and $4 the first and the last
-- administrative code of the region (digits only, so every collation orders them alike).

-- name: report_sites
-- Sites by district, with their roll-up. $5, $6 cursor (district, site id), $7 limit, $8 one site or null
SELECT t.site_id, t.district, t.name AS site, t.class, t.address, t.removal_approved_on, u.name AS unit, y.name AS system,
       t.gateway_id, g.blind_reason, g.blind_since, r.due_on, r.first_connected_at, r.offline_since,
       coalesce(r.n_never, 0) AS n_never, coalesce(r.n_online, 0) AS n_online,
       coalesce(r.n_degraded, 0) AS n_degraded, coalesce(r.n_offline, 0) AS n_offline,
       coalesce(r.n_unknown, 0) AS n_unknown, coalesce(r.n_suspended, 0) AS n_suspended,
       coalesce(e.online, 0) AS seen_online, coalesce(e.degraded, 0) AS seen_degraded
  FROM site t
  JOIN system y ON y.system_id = t.system_id
  JOIN unit u ON u.unit_id = y.unit_id
  JOIN gateway_sight($1, $2) g ON g.gateway_id = t.gateway_id
  LEFT JOIN site_rollup r ON r.site_id = t.site_id
  -- Behind a blind gateway: what another one sees.
  LEFT JOIN LATERAL (
    SELECT count(DISTINCT c.source_id) FILTER (WHERE c.state <> 'degraded') AS online,
           count(DISTINCT c.source_id) FILTER (WHERE c.state = 'degraded') AS degraded
      FROM connectivity c JOIN seen_elsewhere($1, $2) x ON x.source_id = c.source_id
     WHERE g.blind_reason IS NOT NULL AND c.site_id = t.site_id AND c.counted AND c.state <> 'never_connected'
       AND c.suspended_reason IS NULL) e ON true
 WHERE t.district BETWEEN $3 AND $4
   AND ($5::text IS NULL OR (t.district, t.site_id) > ($5, $6::bigint))
   AND ($8::bigint IS NULL OR t.site_id = $8)
 ORDER BY t.district, t.site_id
 LIMIT $7;

-- name: report_sources
-- Sources by district, with the displayed state. $5, $6 cursor (district, source id), $7 limit,
-- $8 displayed state or null, $9 site or null, $10 source id or null, $11 20-digit code or null
SELECT s.*, t.name AS site, t.class, t.address, u.name AS unit, y.name AS system
  FROM source_status($1, $2) s
  JOIN site t ON t.site_id = s.site_id
  JOIN system y ON y.system_id = t.system_id
  JOIN unit u ON u.unit_id = y.unit_id
 WHERE s.district BETWEEN $3 AND $4
   AND ($5::text IS NULL OR (s.district, s.source_id) > ($5, $6::bigint))
   AND ($8::text IS NULL OR s.shown = $8)
   AND (s.counted OR s.lifecycle = 'rejected' OR $8 = 'removed' OR $10::bigint IS NOT NULL)
   AND ($9::bigint IS NULL OR s.site_id = $9)
   AND ($10::bigint IS NULL OR s.source_id = $10)
   AND ($11::text IS NULL OR s.gb_id = $11)
 ORDER BY s.district, s.source_id
 LIMIT $7;

-- name: report_endpoints
-- The ways to reach one source, without any secret. $1 source
SELECT e.endpoint_id, e.protocol, e.host, e.port, e.path, e.transport, e.origin, e.confirmed_at, e.confirmed_by,
       e.priority, e.refusals, c.ref AS credential_ref, e.tls_pin_sha256 IS NOT NULL AS pinned
  FROM endpoint e LEFT JOIN credential c ON c.credential_id = e.credential_id
 WHERE e.source_id = $1
 ORDER BY e.priority DESC, e.endpoint_id
 LIMIT 20;

-- name: report_intervals
-- History of one source, the newest first, the open interval with a null end.
-- $1 source, $2 cursor (start) or null, $3 limit
SELECT state, reasons, started_at, ended_at, last_positive_at FROM (
  SELECT state, reasons, since AS started_at, NULL::timestamptz AS ended_at, last_positive_at
    FROM connectivity WHERE source_id = $1
  UNION ALL
  SELECT state, reasons, started_at, ended_at, last_positive_at
    FROM connectivity_interval WHERE source_id = $1) h
 WHERE $2::timestamptz IS NULL OR started_at < $2
 ORDER BY started_at DESC
 LIMIT $3;

-- name: report_overlays
-- What is laid over the history of one source between two instants: its own and its gateway's, open ones too.
-- $1 source, $2 from, $3 until or null, $4 limit, $5 now, $6 silence after which a gateway counts as blind
SELECT * FROM (
  SELECT 'source' AS of_what, kind, reason, started_at, ended_at
    FROM overlay_interval WHERE source_id = $1 AND kind = 'unknown'
  UNION ALL
  SELECT 'gateway', o.kind, o.reason, o.started_at, o.ended_at
    FROM overlay_interval o JOIN site t ON t.gateway_id = o.gateway_id JOIN source s ON s.site_id = t.site_id
   WHERE s.source_id = $1
  UNION ALL
  SELECT 'source', 'unknown', unknown_reason, unknown_since, NULL
    FROM connectivity WHERE source_id = $1 AND unknown_reason IS NOT NULL
  UNION ALL
  SELECT 'source', 'suspended', w.reason, w.starts_at, CASE WHEN w.ends_at <= $5 THEN w.ends_at END
    FROM suspensions_in_force($2, $5) w
    JOIN source s ON s.site_id = w.site_id AND (w.source_id IS NULL OR w.source_id = s.source_id)
   WHERE s.source_id = $1 AND w.starts_at <= $5
  UNION ALL
  SELECT 'gateway', 'unknown', g.blind_reason, greatest(g.blind_since, s.created_at), NULL
    FROM source s JOIN site t ON t.site_id = s.site_id JOIN gateway_sight($5, $6) g ON g.gateway_id = t.gateway_id
   WHERE s.source_id = $1 AND g.blind_reason IS NOT NULL) o
 WHERE (ended_at IS NULL OR ended_at > $2) AND ($3::timestamptz IS NULL OR started_at < $3)
 ORDER BY started_at DESC, kind
 LIMIT $4;

-- name: report_evidence
-- The facts of one source that hold from the given instants. $1 source, $2 instants, $3 limit
SELECT seq, kind, at, received_at, last_positive_at, reason, state_after, unknown_after, gateway_id, detail
  FROM evidence WHERE source_id = $1 AND at = ANY ($2::timestamptz[])
 ORDER BY seq
 LIMIT $3;

-- name: report_sightings
-- What discoveries saw, the newest first. $1, $2 region, $3 cursor (id) or null, $4 limit, $5 state or null
-- A sighting that matches no source lies in no district yet: only who may see everything sees it ($6).
SELECT i.sighting_id, i.protocol, i.host, i.port, i.server, i.mac, i.serial, i.gb_id, i.first_seen_at, i.last_seen_at,
       i.state, i.source_id, i.match_rule, i.match_reason, i.decided_at, i.decided_by,
       s.gb_id AS source_gb_id, t.name AS site
  FROM sighting i
  LEFT JOIN source s ON s.source_id = i.source_id
  LEFT JOIN site t ON t.site_id = s.site_id
 WHERE (s.district BETWEEN $1 AND $2 OR (s.source_id IS NULL AND $6))
   AND ($3::bigint IS NULL OR i.sighting_id < $3)
   AND ($5::text IS NULL OR i.state = $5)
 ORDER BY i.sighting_id DESC
 LIMIT $4;

-- name: report_never_connected
-- Who must connect and never did, the longest due first: by first_connected_at, not by what is displayed, so a
-- source behind a blind gateway stays in. $5, $6, $7 cursor (first due day of the site, site, source), $8 limit,
-- $9 today (local day), $10 true: only what is overdue, $11 class or null, $12 unit or null. The page is chosen first, along an index of the sites that have
-- such sources; only its rows are dressed.
WITH chosen AS (
  SELECT c.source_id, c.site_id, r.due_on AS site_due_on, d.due_on, d.basis
    FROM site_rollup r
   CROSS JOIN LATERAL (
     SELECT y.due_on, y.basis FROM duty y
      WHERE y.withdrawn_on IS NULL AND y.effective_from <= $9
        AND (y.site_id = r.site_id OR y.system_id = (SELECT system_id FROM site t WHERE t.site_id = r.site_id))
      ORDER BY y.due_on, y.duty_id LIMIT 1) d
    JOIN connectivity c ON c.site_id = r.site_id
   WHERE r.n_unconnected > 0 AND r.due_on IS NOT NULL AND r.bound_from <= $9 AND r.district BETWEEN $3 AND $4
     AND c.state = 'never_connected' AND c.counted
     AND (r.due_on, r.site_id) >= (coalesce($5::date, '-infinity'), coalesce($6::bigint, 0))
     AND c.source_id > CASE WHEN (r.due_on, r.site_id) = ($5, $6) THEN $7::bigint ELSE 0 END
     AND (NOT $10 OR d.due_on < $9)
     AND ($11::text IS NULL AND $12::text IS NULL OR site_is_of(r.site_id, $11, $12))
   ORDER BY r.due_on, r.site_id, c.source_id
   LIMIT $8)
SELECT s.source_id, s.district, s.gb_id, s.name, s.site_id, s.shown, s.shown_since, s.seen_at, s.obstacle,
       s.unknown_reason, s.suspended_reason, t.name AS site, t.class, t.address, u.name AS unit, y.name AS system,
       d.site_due_on, d.due_on, d.basis, r.n_must AS site_sources, r.n_unconnected AS site_never
  FROM chosen d
  -- Of an array the planner knows that it is short.
  JOIN source_status($1, $2) s ON s.source_id = d.source_id AND s.source_id = ANY (ARRAY(SELECT source_id FROM chosen))
  JOIN site t ON t.site_id = s.site_id
  JOIN site_rollup r ON r.site_id = s.site_id
  JOIN system y ON y.system_id = t.system_id
  JOIN unit u ON u.unit_id = y.unit_id
 ORDER BY d.site_due_on, d.site_id, s.source_id;

-- name: report_offline
-- What is offline while we can see, the longest first, with the fact that made it so.
-- $5, $6 cursor (since, source), $7 limit, $8 class or null, $9 unit or null
WITH chosen AS MATERIALIZED (
  SELECT c.source_id
    FROM connectivity c
   WHERE c.state = 'offline' AND c.counted AND c.unknown_reason IS NULL AND c.suspended_reason IS NULL
     -- As a condition on one row, not as a join: so the planner walks the index and stops after a page.
     AND (SELECT g.blind_reason IS NULL FROM site t JOIN gateway_sight($1, $2) g USING (gateway_id)
           WHERE t.site_id = c.site_id)
     AND c.district BETWEEN $3 AND $4
     AND ($8::text IS NULL AND $9::text IS NULL OR site_is_of(c.site_id, $8, $9))
     AND ($5::timestamptz IS NULL OR (c.since, c.source_id) > ($5, $6::bigint))
   ORDER BY c.since, c.source_id
   LIMIT $7)
SELECT s.source_id, s.district, s.gb_id, s.name, s.site_id, s.state_since, s.last_positive_at, s.flapping, s.obstacle,
       t.name AS site, t.class, t.address, u.name AS unit, y.name AS system,
       e.kind AS evidence_kind, e.reason AS evidence_reason, e.received_at AS evidence_received_at
  FROM source_status($1, $2) s
  JOIN site t ON t.site_id = s.site_id
  JOIN system y ON y.system_id = t.system_id
  JOIN unit u ON u.unit_id = y.unit_id
  LEFT JOIN LATERAL (
    SELECT kind, reason, received_at FROM evidence v
     WHERE v.source_id = s.source_id AND v.state_after = 'offline' AND v.at = s.state_since
     ORDER BY v.seq LIMIT 1) e ON true
 WHERE s.source_id = ANY (ARRAY(SELECT source_id FROM chosen)) AND s.shown = 'offline'
 ORDER BY s.state_since, s.source_id;

-- name: report_statuses
-- The displayed state of the sources with these 20-digit codes; a code used again is that of the present source.
-- $5 codes
WITH found AS MATERIALIZED (
  SELECT DISTINCT ON (gb_id) gb_id, source_id FROM (
    SELECT gb_id, source_id, false AS is_removed FROM source
     WHERE gb_id = ANY ($5::text[]) AND gb_id IS NOT NULL AND lifecycle <> 'removed'
    UNION ALL
    SELECT gb_id, source_id, true FROM source
     WHERE gb_id = ANY ($5::text[]) AND gb_id IS NOT NULL AND lifecycle = 'removed') k
   ORDER BY gb_id, is_removed, source_id DESC)
SELECT s.gb_id, s.source_id, s.district, s.shown, s.shown_since, s.state, s.state_since, s.reasons,
       s.unknown_reason, s.suspended_reason, s.lifecycle_reason, s.first_connected_at, s.last_positive_at, s.flapping
  FROM found f JOIN source_status($1, $2) s ON s.source_id = f.source_id
 WHERE s.district BETWEEN $3 AND $4;

-- name: report_counts
-- The chain of counts of each district: of those under an active duty, and how many have none. $5 today (local)
-- Behind a blind gateway all are unknown but those that another one sees.
WITH seen AS (
  SELECT r.district, r.gateway_id, r.bound_from, count(*) FILTER (WHERE c.state <> 'degraded') AS online,
         count(*) FILTER (WHERE c.state = 'degraded') AS degraded
    FROM (SELECT DISTINCT source_id FROM seen_elsewhere($1, $2)) x
    JOIN connectivity c ON c.source_id = x.source_id
    JOIN site_rollup r ON r.site_id = c.site_id
    JOIN gateway_sight($1, $2) g ON g.gateway_id = r.gateway_id AND g.blind_reason IS NOT NULL
   WHERE c.district BETWEEN $3 AND $4 AND c.counted AND c.state <> 'never_connected' AND c.suspended_reason IS NULL
   GROUP BY r.district, r.gateway_id, r.bound_from),
counted AS (
  SELECT r.district, r.bound_from <= $5 AS has_duty, r.n_must, r.n_unconnected, r.n_suspended,
         CASE WHEN b.blind THEN 0 ELSE r.n_never END AS n_never,
         CASE WHEN b.blind THEN coalesce(e.online, 0) ELSE r.n_online END AS n_online,
         CASE WHEN b.blind THEN coalesce(e.degraded, 0) ELSE r.n_degraded END AS n_degraded,
         CASE WHEN b.blind THEN 0 ELSE r.n_offline END AS n_offline,
         CASE WHEN b.blind THEN r.n_must - r.n_suspended - coalesce(e.online + e.degraded, 0)
              ELSE r.n_unknown END AS n_unknown
    FROM district_rollup r
    JOIN (SELECT gateway_id, blind_reason IS NOT NULL AS blind FROM gateway_sight($1, $2)) b
      ON b.gateway_id = r.gateway_id
    LEFT JOIN seen e ON (e.district, e.gateway_id, e.bound_from) = (r.district, r.gateway_id, r.bound_from)
   WHERE r.district BETWEEN $3 AND $4)
SELECT c.district, j.name,
       coalesce(sum(n_must) FILTER (WHERE has_duty), 0)::bigint AS required,
       coalesce(sum(n_must) FILTER (WHERE NOT has_duty), 0)::bigint AS without_duty,
       coalesce(sum(n_unconnected) FILTER (WHERE has_duty), 0)::bigint AS never_connected,
       coalesce(sum(n_never) FILTER (WHERE has_duty), 0)::bigint AS shown_never,
       coalesce(sum(n_online) FILTER (WHERE has_duty), 0)::bigint AS online,
       coalesce(sum(n_degraded) FILTER (WHERE has_duty), 0)::bigint AS degraded,
       coalesce(sum(n_offline) FILTER (WHERE has_duty), 0)::bigint AS offline,
       coalesce(sum(n_unknown) FILTER (WHERE has_duty), 0)::bigint AS unknown,
       coalesce(sum(n_suspended) FILTER (WHERE has_duty), 0)::bigint AS suspended
  FROM counted c JOIN jurisdiction j ON j.district = c.district
 GROUP BY c.district, j.name
 ORDER BY c.district
 LIMIT 10000;

-- name: report_changes
-- Committed facts after a given one, in order: the live events again. $1 seq, $2, $3 region, $4 limit
SELECT e.seq, e.source_id, e.district, e.kind, e.at, e.received_at, e.reason, e.state_after, e.unknown_after, s.gb_id,
       s.site_id
  FROM evidence e JOIN source s ON s.source_id = e.source_id
 WHERE e.seq > $1 AND e.district BETWEEN $2 AND $3
 ORDER BY e.seq
 LIMIT $4;

-- name: report_last_change
-- The newest committed fact, or null.
SELECT max(seq) FROM evidence;
