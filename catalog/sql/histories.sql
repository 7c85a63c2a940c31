-- Whole histories of sources, for recomputation, rates and evidence sheets (catalog/histories.py). Reads only.

-- name: history_sources
-- Sources by district with their present state, retired ones too. $1, $2 the region's first and last code,
-- $3, $4 cursor (district, source id), $5 limit, $6 one source or null, $7 class or null, $8 unit or null
SELECT s.source_id, s.district, s.gb_id, s.created_at, s.lifecycle, s.retired_at, s.site_id, t.system_id, t.gateway_id,
       t.name AS site, t.class, u.name AS unit, y.name AS system, c.state, c.since, c.unknown_reason, c.unknown_since,
       c.suspended_reason, c.suspended_since, c.seen_at
  FROM source s
  JOIN connectivity c ON c.source_id = s.source_id
  JOIN site t ON t.site_id = s.site_id
  JOIN system y ON y.system_id = t.system_id
  JOIN unit u ON u.unit_id = y.unit_id
 WHERE s.district BETWEEN $1 AND $2
   AND ($3::text IS NULL OR (s.district, s.source_id) > ($3, $4::bigint))
   AND ($6::bigint IS NULL OR s.source_id = $6)
   AND ($7::text IS NULL OR t.class = $7)
   AND ($8::text IS NULL OR u.name = $8)
 ORDER BY s.district, s.source_id
 LIMIT $5;

-- name: history_sources_named
-- The same of some sources. $1 sources
SELECT s.source_id, s.district, s.gb_id, s.created_at, s.lifecycle, s.retired_at, s.site_id, t.system_id, t.gateway_id,
       t.name AS site, t.class, u.name AS unit, y.name AS system, c.state, c.since, c.unknown_reason, c.unknown_since,
       c.suspended_reason, c.suspended_since, c.seen_at
  FROM source s
  JOIN connectivity c ON c.source_id = s.source_id
  JOIN site t ON t.site_id = s.site_id
  JOIN system y ON y.system_id = t.system_id
  JOIN unit u ON u.unit_id = y.unit_id
 WHERE s.source_id = ANY ($1::bigint[]);

-- name: history_intervals
-- Closed states of these sources that end after an instant. $1 sources, $2 instant
SELECT source_id, state, started_at, ended_at FROM connectivity_interval
 WHERE source_id = ANY ($1::bigint[]) AND ended_at > $2
 ORDER BY source_id, started_at, ended_at;

-- name: history_overlays
-- Closed unknown times of these sources that end after an instant. $1 sources, $2 instant
SELECT source_id, reason, started_at, ended_at FROM overlay_interval
 WHERE source_id = ANY ($1::bigint[]) AND ended_at > $2 AND kind = 'unknown'
 ORDER BY source_id, started_at;

-- name: history_suspensions
-- The windows in force of these sources, up to now, that end after an instant: from the approvals themselves, whatever
-- a gateway showed meanwhile. $1 sources, $2 instant, $3 now
SELECT s.source_id, w.reason, w.starts_at AS started_at, least(w.ends_at, $3) AS ended_at, w.retroactive
  FROM suspensions_in_force($2, $3) w
  JOIN source s ON s.site_id = w.site_id AND (w.source_id IS NULL OR w.source_id = s.source_id)
 WHERE s.source_id = ANY ($1::bigint[]) AND w.ends_at > $2 AND w.starts_at < $3
 ORDER BY s.source_id, w.starts_at;

-- name: history_gateway_overlays
-- The times in which these gateways could not see, the one that goes on included (until $3).
-- $1 gateways, $2 only what ends after this instant, $3 now, $4 silence after which a gateway counts as blind
SELECT gateway_id, reason, started_at, ended_at FROM overlay_interval
 WHERE gateway_id = ANY ($1::text[]) AND ended_at > $2 AND kind = 'unknown'
UNION ALL
SELECT gateway_id, blind_reason, greatest(blind_since, $2), $3 FROM gateway_sight($3, $4)
 WHERE gateway_id = ANY ($1::text[]) AND blind_reason IS NOT NULL AND greatest(blind_since, $2) < $3
 ORDER BY gateway_id, started_at;

-- name: history_duties
-- The duties that bound these sites or systems, withdrawn ones too. $1 sites, $2 systems
SELECT site_id, system_id, entry_id, effective_from, due_on, withdrawn_on, basis FROM duty
 WHERE site_id = ANY ($1::bigint[]) OR system_id = ANY ($2::bigint[])
 ORDER BY effective_from, duty_id;

-- name: history_facts
-- All evidence of these sources, in the order in which it was taken in. $1 sources
SELECT source_id, seq, kind, at, received_at, last_positive_at, reason, unknown_after, gateway_id, detail
  FROM evidence WHERE source_id = ANY ($1::bigint[])
 ORDER BY source_id, seq;

-- name: history_watermark
-- Until when every gateway of these districts had seen and stored; null where one never did.
-- $1, $2 the region's first and last code
SELECT CASE WHEN bool_and(g.observed_until IS NOT NULL) THEN min(g.observed_until) END FROM gateway g
 WHERE EXISTS (SELECT FROM site t WHERE t.gateway_id = g.gateway_id AND t.district BETWEEN $1 AND $2);

-- name: history_size
-- How many sources these districts have, retired ones too. $1, $2 the region's first and last code
SELECT count(*) FROM source WHERE district BETWEEN $1 AND $2;

-- name: history_is_larger
-- Whether these districts have more than $3 sources, retired ones too. $1, $2 the region's first and last code
SELECT count(*) > $3 FROM (SELECT FROM source WHERE district BETWEEN $1 AND $2 LIMIT $3 + 1) s;

-- name: history_late
-- When these sources were shown late to have been running, and that was found right. $1 sources, $2 instant
SELECT d.source_id, d.running_from AS started_at, d.running_until AS ended_at
  FROM dispute d JOIN dispute_answer a ON a.dispute_id = d.dispute_id AND a.is_upheld
 WHERE d.source_id = ANY ($1::bigint[]) AND d.running_until > $2
 ORDER BY d.source_id, d.running_from;

-- name: selection_size
-- How many sources of these districts stand at places of a class, or of a unit. $1, $2 the region's first and last code,
-- $3 class or null, $4 unit or null
SELECT count(*)
  FROM source s
  JOIN site t ON t.site_id = s.site_id
  JOIN system y ON y.system_id = t.system_id
  JOIN unit u ON u.unit_id = y.unit_id
 WHERE s.district BETWEEN $1 AND $2 AND ($3::text IS NULL OR t.class = $3) AND ($4::text IS NULL OR u.name = $4);

-- name: selection_unit
-- Whether the roll knows a unit. $1 name
SELECT EXISTS (SELECT FROM unit WHERE name = $1);

-- name: selection_entries
-- What an edition lists; null where there is no such edition. $1 number
SELECT (SELECT coalesce(array_agg(n.entry_id), '{}') FROM edition_entry n WHERE n.edition_id = e.edition_id)
  FROM edition e WHERE e.number = $1;

-- name: history_elsewhere
-- When another gateway had answers of these sources. $1 sources, $2 only what ends after this instant
SELECT x.source_id, x.gateway_id, x.seen_from AS started_at, e.ended_at
  FROM second_sight x
  JOIN gateway g ON g.gateway_id = x.gateway_id
 CROSS JOIN LATERAL (SELECT coalesce(x.seen_until, g.second_sight_until) AS ended_at) e
 WHERE x.source_id = ANY ($1::bigint[]) AND e.ended_at > greatest($2, x.seen_from)
 ORDER BY x.source_id, x.seen_from;
