-- A storm of changes costs each site a look at its own sources, not at all that are offline.

CREATE OR REPLACE FUNCTION apply_changes(
  p_gateway text, p_epoch bigint, p_source bigint[], p_state text[], p_since timestamptz[], p_reasons text[],
  p_last_positive timestamptz[], p_unknown text[], p_unknown_at timestamptz[],
  p_suspended text[], p_suspended_at timestamptz[], p_flapping boolean[]
) RETURNS bigint LANGUAGE sql AS $$
  WITH fence AS (
    SELECT 1 FROM gateway WHERE gateway_id = p_gateway AND epoch = p_epoch FOR SHARE),
  inp AS (
    SELECT * FROM unnest(p_source, p_state, p_since, p_reasons, p_last_positive, p_unknown, p_unknown_at,
                         p_suspended, p_suspended_at, p_flapping)
      AS t(source_id, state, since, reasons, last_positive_at, unknown, unknown_at, suspended, suspended_at, flapping)),
  old AS MATERIALIZED (
    SELECT c.source_id, c.site_id, c.district, c.counted, c.state AS old_state, c.since AS old_since,
           c.reasons AS old_reasons, c.last_positive_at AS old_last_positive, c.unknown_reason AS old_unknown,
           c.unknown_since AS old_unknown_since, c.suspended_reason AS old_suspended,
           c.suspended_since AS old_suspended_since,
           i.state, i.since, string_to_array(nullif(i.reasons, ''), ',') AS reasons, i.last_positive_at,
           i.unknown, i.unknown_at, i.suspended, i.suspended_at, i.flapping
      FROM connectivity c JOIN inp i USING (source_id)
     WHERE EXISTS (SELECT FROM fence) AND (i.state = c.state OR i.since > c.since)
     ORDER BY c.source_id FOR UPDATE OF c),
  upd AS (
    UPDATE connectivity c
       SET state = o.state,
           since = CASE WHEN o.state = o.old_state THEN c.since ELSE o.since END,
           reasons = coalesce(o.reasons, '{}'),
           first_connected_at = CASE WHEN o.old_state = 'never_connected' AND o.state <> 'never_connected'
                                     THEN o.since ELSE c.first_connected_at END,
           last_positive_at = coalesce(o.last_positive_at, c.last_positive_at),
           unknown_reason = o.unknown,
           unknown_since = CASE WHEN o.unknown IS NOT DISTINCT FROM o.old_unknown THEN c.unknown_since
                                WHEN o.unknown IS NULL THEN NULL ELSE o.unknown_at END,
           suspended_reason = o.suspended,
           suspended_since = CASE WHEN o.suspended IS NOT DISTINCT FROM o.old_suspended THEN c.suspended_since
                                  WHEN o.suspended IS NULL THEN NULL ELSE o.suspended_at END,
           flapping = o.flapping,
           obstacle = CASE WHEN o.state <> 'never_connected' AND o.old_state = 'never_connected'
                           THEN NULL ELSE c.obstacle END
      FROM old o WHERE c.source_id = o.source_id),
  his AS (
    INSERT INTO connectivity_interval (source_id, district, state, reasons, started_at, ended_at, last_positive_at)
    SELECT source_id, district, old_state, old_reasons, old_since, since, coalesce(last_positive_at, old_last_positive)
      FROM old WHERE old_state <> state),
  unk AS (
    INSERT INTO overlay_interval (source_id, kind, reason, started_at, ended_at)
    SELECT source_id, 'unknown', old_unknown, old_unknown_since, unknown_at
      FROM old WHERE old_unknown IS NOT NULL AND unknown IS DISTINCT FROM old_unknown AND unknown_at > old_unknown_since),
  sus AS (
    INSERT INTO overlay_interval (source_id, kind, reason, started_at, ended_at)
    SELECT source_id, 'suspended', old_suspended, old_suspended_since, suspended_at
      FROM old WHERE old_suspended IS NOT NULL AND suspended IS DISTINCT FROM old_suspended
                 AND suspended_at > old_suspended_since),
  shown AS (
    SELECT source_id, site_id, district, since, old_since, old_state, state,
           displayed_state(old_state, old_unknown, old_suspended) AS was,
           displayed_state(state, unknown, suspended) AS now
      FROM old WHERE counted),
  delta AS (
    SELECT site_id, district,
           sum((now = 'never_connected')::int - (was = 'never_connected')::int) AS never,
           sum((now = 'online')::int - (was = 'online')::int) AS online,
           sum((now = 'degraded')::int - (was = 'degraded')::int) AS degraded,
           sum((now = 'offline')::int - (was = 'offline')::int) AS offline,
           sum((now = 'unknown')::int - (was = 'unknown')::int) AS unknown,
           sum((now = 'suspended')::int - (was = 'suspended')::int) AS suspended,
           min(since) FILTER (WHERE old_state = 'never_connected' AND state <> 'never_connected') AS first_at,
           max(CASE WHEN state = old_state THEN old_since ELSE since END) FILTER (WHERE now = 'offline') AS offline_at,
           coalesce(array_agg(source_id) FILTER (WHERE old_state = 'offline'), '{}') AS were_offline
      FROM shown GROUP BY site_id, district),
  rolled AS (
    UPDATE site_rollup r
       SET n_never = n_never + d.never, n_online = n_online + d.online, n_degraded = n_degraded + d.degraded,
           n_offline = n_offline + d.offline, n_unknown = n_unknown + d.unknown, n_suspended = n_suspended + d.suspended,
           first_connected_at = least(r.first_connected_at, d.first_at),
           offline_since =
             CASE WHEN n_online + d.online = 0 AND n_degraded + d.degraded = 0 AND n_unknown + d.unknown = 0
                       AND n_offline + d.offline > 0
                  THEN greatest(d.offline_at,
                                -- Of the site's own sources. OFFSET 0: else the planner takes the newest of all that are
                                -- offline, one after the other, until one is of this site.
                                (SELECT max(c.since)
                                   FROM (SELECT source_id, since, counted, state, suspended_reason
                                           FROM connectivity WHERE site_id = d.site_id OFFSET 0) c
                                  WHERE c.counted AND c.state = 'offline' AND c.suspended_reason IS NULL
                                    -- Those of this call are told by offline_at, if they still are.
                                    AND c.source_id <> ALL (d.were_offline))) END
      FROM delta d WHERE d.site_id = r.site_id
    RETURNING r.district, d.never, d.online, d.degraded, d.offline, d.unknown, d.suspended),
  by_district AS (
    UPDATE district_rollup x
       SET n_never = n_never + q.never, n_online = n_online + q.online, n_degraded = n_degraded + q.degraded,
           n_offline = n_offline + q.offline, n_unknown = n_unknown + q.unknown, n_suspended = n_suspended + q.suspended
      FROM (SELECT district, sum(never) never, sum(online) online, sum(degraded) degraded, sum(offline) offline,
                   sum(unknown) unknown, sum(suspended) suspended FROM rolled GROUP BY district) q
     WHERE x.district = q.district)
  SELECT count(*) FROM old
$$;
