-- A gateway may have an eye on the sources of another: what it sees is told while that one is blind (4.7, E14).

ALTER TABLE gateway ADD COLUMN second_sight_until timestamptz;
COMMENT ON COLUMN gateway.second_sight_until IS 'Until this instant it had an eye on the sources of other gateways; null where it has none.';

CREATE TABLE second_sight (
  source_id     bigint NOT NULL REFERENCES source,
  gateway_id    text NOT NULL REFERENCES gateway,
  seen_from     timestamptz NOT NULL,
  seen_until    timestamptz,
  PRIMARY KEY (source_id, gateway_id, seen_from),
  CHECK (seen_until > seen_from)
);
CREATE UNIQUE INDEX second_sight_open ON second_sight (gateway_id, source_id) WHERE seen_until IS NULL;
COMMENT ON TABLE second_sight IS 'When another gateway than the one that looks after a source had answers of it (status model 4.7, E14).';
COMMENT ON COLUMN second_sight.seen_until IS 'The last answer plus one interval; null while it goes on, up to second_sight_until of the gateway.';

CREATE FUNCTION seen_elsewhere(p_now timestamptz, p_stale interval)
RETURNS TABLE (source_id bigint, seen_from timestamptz) LANGUAGE sql STABLE PARALLEL SAFE AS $$
  SELECT x.source_id, x.seen_from
    FROM second_sight x JOIN gateway g ON g.gateway_id = x.gateway_id
   WHERE x.seen_until IS NULL AND g.second_sight_until >= p_now - p_stale
$$;
COMMENT ON FUNCTION seen_elsewhere(timestamptz, interval) IS 'Which sources another gateway sees at p_now.';

DROP FUNCTION source_status(timestamptz, interval);
CREATE FUNCTION source_status(p_now timestamptz, p_stale interval)
RETURNS TABLE (
  source_id bigint, district text, site_id bigint, gateway_id text, gb_id text, name text, location_type text,
  lifecycle text, lifecycle_reason text, relay_mode text, audio_enabled boolean, allow_basic boolean,
  retired_at timestamptz, state text, state_since timestamptz, reasons text[], first_connected_at timestamptz,
  last_positive_at timestamptz, unknown_reason text, suspended_reason text, flapping boolean, seen_at timestamptz,
  obstacle text, counted boolean, shown text, shown_since timestamptz
) LANGUAGE sql STABLE PARALLEL SAFE AS $$
  SELECT s.source_id, s.district, s.site_id, g.gateway_id, s.gb_id, s.name, s.location_type,
         s.lifecycle, s.lifecycle_reason, s.relay_mode, s.audio_enabled, s.allow_basic,
         s.retired_at, c.state, c.since, c.reasons, c.first_connected_at,
         c.last_positive_at, h.reason, c.suspended_reason, c.flapping, c.seen_at,
         c.obstacle, c.counted,
         CASE WHEN s.lifecycle IN ('removed', 'rejected') THEN s.lifecycle
              ELSE displayed_state(CASE WHEN e.seen_from IS NOT NULL AND c.state = 'offline' THEN 'online' ELSE c.state END,
                                   h.reason, c.suspended_reason) END,
         CASE WHEN s.lifecycle = 'removed' THEN s.retired_at
              WHEN s.lifecycle = 'rejected' THEN NULL
              WHEN c.suspended_reason IS NOT NULL THEN c.suspended_since
              WHEN h.reason IS NOT NULL THEN greatest(least(g.blind_since, c.unknown_since), s.created_at)
              WHEN c.state = 'offline' THEN greatest(c.since, e.seen_from)
              ELSE c.since END
    FROM source s
    JOIN connectivity c ON c.source_id = s.source_id
    JOIN site t ON t.site_id = s.site_id
    JOIN gateway_sight(p_now, p_stale) g ON g.gateway_id = t.gateway_id
    -- While its own gateway sees, that one is told by the others and decides.
    LEFT JOIN LATERAL (
      SELECT min(x.seen_from) AS seen_from FROM seen_elsewhere(p_now, p_stale) x
       WHERE g.blind_reason IS NOT NULL AND c.state <> 'never_connected' AND x.source_id = s.source_id) e ON true
   CROSS JOIN LATERAL (
      SELECT CASE WHEN e.seen_from IS NULL THEN coalesce(g.blind_reason, c.unknown_reason) END AS reason) h
$$;
COMMENT ON FUNCTION source_status(timestamptz, interval) IS
  'The displayed state of every source at p_now, in its one place (4.2): removed, rejected, suspended, unknown, measured. Behind a blind gateway, what another one sees.';
