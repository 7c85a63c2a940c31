-- Invariants of a live database, one statement each: it returns the rows that break it (an id and words).

-- name: check_overlapping_intervals
-- Closed intervals of one source that overlap.
SELECT source_id::text AS subject, format('%s begins %s before the one before it ended', state, started_at) AS finding
  FROM (SELECT source_id, state, started_at,
               lag(ended_at) OVER (PARTITION BY source_id ORDER BY started_at, ended_at) AS before
          FROM connectivity_interval) i
 WHERE before > started_at LIMIT $1;

-- name: check_gaps_in_history
-- Sources whose last closed interval does not end where the present state begins.
SELECT c.source_id::text AS subject, format('history ends %s, the present state begins %s', i.ended_at, c.since) AS finding
  FROM connectivity c
  JOIN LATERAL (SELECT ended_at FROM connectivity_interval i WHERE i.source_id = c.source_id
                 ORDER BY ended_at DESC LIMIT 1) i ON true
 WHERE i.ended_at <> c.since LIMIT $1;

-- name: check_states_without_evidence
-- Sources that are not never connected and have no evidence that made them so.
SELECT c.source_id::text AS subject, format('%s since %s without evidence', c.state, c.since) AS finding
  FROM connectivity c
 WHERE c.state <> 'never_connected'
   AND NOT EXISTS (SELECT FROM evidence e WHERE e.source_id = c.source_id AND e.state_after = c.state)
 LIMIT $1;

-- name: check_counted
-- Sources whose place in the counts does not follow from their lifecycle.
SELECT s.source_id::text AS subject, format('lifecycle %s, counted %s', s.lifecycle, c.counted) AS finding
  FROM source s LEFT JOIN connectivity c USING (source_id)
 WHERE c.source_id IS NULL OR c.counted <> (s.lifecycle NOT IN ('removed', 'rejected')) LIMIT $1;

-- name: check_places
-- Status rows whose site or district is not their source's.
SELECT s.source_id::text AS subject, 'site or district differs between roll and status' AS finding
  FROM source s JOIN connectivity c USING (source_id)
 WHERE (s.site_id, s.district) IS DISTINCT FROM (c.site_id, c.district) LIMIT $1;

-- name: check_site_rollups
-- Sites whose counts differ from a recount.
WITH counted AS (
  SELECT c.site_id, count(*) AS must,
         count(*) FILTER (WHERE shown = 'never_connected') AS never, count(*) FILTER (WHERE shown = 'online') AS online,
         count(*) FILTER (WHERE shown = 'degraded') AS degraded, count(*) FILTER (WHERE shown = 'offline') AS offline,
         count(*) FILTER (WHERE shown = 'unknown') AS unknown, count(*) FILTER (WHERE shown = 'suspended') AS suspended,
         count(*) FILTER (WHERE state = 'never_connected') AS unconnected
    FROM (SELECT site_id, state, displayed_state(state, unknown_reason, suspended_reason) AS shown
            FROM connectivity WHERE counted) c GROUP BY c.site_id)
SELECT s.site_id::text AS subject,
       format('stored %s/%s/%s/%s/%s/%s and %s, counted %s/%s/%s/%s/%s/%s and %s '
              '(never/online/degraded/offline/unknown/suspended and never connected)',
              r.n_never, r.n_online, r.n_degraded, r.n_offline, r.n_unknown, r.n_suspended, r.n_unconnected,
              never, online, degraded, offline, unknown, suspended, unconnected) AS finding
  FROM site s LEFT JOIN site_rollup r USING (site_id) LEFT JOIN counted c USING (site_id)
 WHERE (coalesce(r.n_never, 0), coalesce(r.n_online, 0), coalesce(r.n_degraded, 0), coalesce(r.n_offline, 0),
        coalesce(r.n_unknown, 0), coalesce(r.n_suspended, 0), coalesce(r.n_unconnected, 0))
       IS DISTINCT FROM
       (coalesce(never, 0), coalesce(online, 0), coalesce(degraded, 0), coalesce(offline, 0), coalesce(unknown, 0),
        coalesce(suspended, 0), coalesce(unconnected, 0)) LIMIT $1;

-- name: check_bound_sites
-- Sites whose roll-up names another district, gateway, or first days of its duties, than the roll.
SELECT t.site_id::text AS subject,
       format('stored %s %s bound from %s due %s, the roll says %s %s %s %s', r.district, r.gateway_id, r.bound_from,
              r.due_on, t.district, t.gateway_id, d.bound_from, d.due_on) AS finding
  FROM site t JOIN site_rollup r USING (site_id)
 CROSS JOIN LATERAL (
   SELECT coalesce(min(effective_from), 'infinity') AS bound_from, min(due_on) AS due_on FROM duty
    WHERE withdrawn_on IS NULL AND (duty.site_id = t.site_id OR duty.system_id = t.system_id)) d
 WHERE (r.district, r.gateway_id, r.bound_from, r.due_on)
       IS DISTINCT FROM (t.district, t.gateway_id, d.bound_from, d.due_on) LIMIT $1;

-- name: check_district_rollups
-- Districts whose counts are not the sum of their sites'.
SELECT district AS subject, format('stored %s, its sites sum up to %s', d.n_must, s.n_must) AS finding
  FROM district_rollup d
  FULL JOIN (SELECT district, gateway_id, bound_from, sum(n_must) n_must, sum(n_never) n_never, sum(n_online) n_online,
                    sum(n_degraded) n_degraded, sum(n_offline) n_offline, sum(n_unknown) n_unknown,
                    sum(n_suspended) n_suspended, sum(n_unconnected) n_unconnected
               FROM site_rollup GROUP BY district, gateway_id, bound_from) s USING (district, gateway_id, bound_from)
 WHERE (coalesce(d.n_must, 0), coalesce(d.n_never, 0), coalesce(d.n_online, 0), coalesce(d.n_degraded, 0),
        coalesce(d.n_offline, 0), coalesce(d.n_unknown, 0), coalesce(d.n_suspended, 0), coalesce(d.n_unconnected, 0))
       IS DISTINCT FROM
       (coalesce(s.n_must, 0), coalesce(s.n_never, 0), coalesce(s.n_online, 0), coalesce(s.n_degraded, 0),
        coalesce(s.n_offline, 0), coalesce(s.n_unknown, 0), coalesce(s.n_suspended, 0), coalesce(s.n_unconnected, 0))
 LIMIT $1;

-- name: check_default_partition
-- History that no monthly partition covers.
SELECT source_id::text AS subject, format('an interval that ended %s lies in the default partition', ended_at) AS finding
  FROM connectivity_interval_default LIMIT $1;

-- name: check_public_entries
-- Published entries that name a natural person.
SELECT e.entry_id::text AS subject, 'a natural person stands in a published edition' AS finding
  FROM edition_entry e JOIN unit u ON u.name = e.holder AND u.kind = 'natural_person' LIMIT $1;

-- name: check_unconfirmed_connections
-- Sources that are connected although no address of theirs was ever confirmed.
SELECT c.source_id::text AS subject, format('%s without a confirmed endpoint', c.state) AS finding
  FROM connectivity c
 WHERE c.counted AND c.state IN ('online', 'degraded')
   AND NOT EXISTS (SELECT FROM endpoint p WHERE p.source_id = c.source_id AND p.confirmed_at IS NOT NULL) LIMIT $1;

-- name: check_duties
-- Counted sources that no duty binds.
SELECT s.source_id::text AS subject, 'in the roll, but no duty in force binds its site or system' AS finding
  FROM source s JOIN site t USING (site_id) JOIN connectivity c USING (source_id)
 WHERE c.counted AND s.lifecycle = 'required'
   AND NOT EXISTS (SELECT FROM duty d WHERE d.withdrawn_on IS NULL
                      AND (d.site_id = t.site_id OR d.system_id = t.system_id)) LIMIT $1;

-- name: check_day_totals
-- Closed days whose districts are not the sum of their sites'.
SELECT format('%s %s', district, day) AS subject,
       format('stored %s sources and %s us online, its sites sum up to %s and %s', t.sources, t.running, s.sources,
              s.running) AS finding
  FROM (SELECT d.district, d.day, d.sources, d.counted, d.running, d.offline, d.outages
          FROM day_total d JOIN closed_day c ON c.day = d.day WHERE d.class = '' AND c.is_over) t
  FULL JOIN (SELECT district, day, sum(sources) AS sources, sum(counted) AS counted, sum(running) AS running,
                    sum(offline) AS offline, sum(outages) AS outages
               FROM day_account GROUP BY district, day) s USING (district, day)
 WHERE (t.sources, t.counted, t.running, t.offline, t.outages)
       IS DISTINCT FROM (s.sources, s.counted, s.running, s.offline, s.outages) LIMIT $1;
