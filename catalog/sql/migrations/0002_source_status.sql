-- Which gateways cannot see, and the displayed state of every source in one place (catalog/reports.py).

CREATE FUNCTION gateway_sight(p_now timestamptz, p_stale interval)
RETURNS TABLE (gateway_id text, blind_reason text, blind_since timestamptz) LANGUAGE sql STABLE PARALLEL SAFE AS $$
  SELECT g.gateway_id,
         CASE WHEN g.unknown_reason IS NOT NULL THEN g.unknown_reason
              WHEN g.observed_until IS NULL OR g.observed_until < p_now - p_stale THEN 'gateway_down' END,
         CASE WHEN g.unknown_reason IS NOT NULL THEN g.unknown_since
              WHEN g.observed_until IS NULL OR g.observed_until < p_now - p_stale
              THEN coalesce(g.observed_until, g.started_at, '-infinity') END
    FROM gateway g
$$;
COMMENT ON FUNCTION gateway_sight(timestamptz, interval) IS
  'Which gateways cannot see at p_now, why and since when: it says so itself, or its last word is older than p_stale.';

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
         c.last_positive_at, coalesce(g.blind_reason, c.unknown_reason), c.suspended_reason, c.flapping, c.seen_at,
         c.obstacle, c.counted,
         CASE WHEN s.lifecycle IN ('removed', 'rejected') THEN s.lifecycle
              ELSE displayed_state(c.state, coalesce(g.blind_reason, c.unknown_reason), c.suspended_reason) END,
         CASE WHEN s.lifecycle = 'removed' THEN s.retired_at
              WHEN s.lifecycle = 'rejected' THEN NULL
              WHEN c.suspended_reason IS NOT NULL THEN c.suspended_since
              WHEN g.blind_reason IS NOT NULL OR c.unknown_reason IS NOT NULL
              THEN greatest(least(g.blind_since, c.unknown_since), s.created_at)
              ELSE c.since END
    FROM source s
    JOIN connectivity c ON c.source_id = s.source_id
    JOIN site t ON t.site_id = s.site_id
    JOIN gateway_sight(p_now, p_stale) g ON g.gateway_id = t.gateway_id
$$;
COMMENT ON FUNCTION source_status(timestamptz, interval) IS
  'The displayed state of every source at p_now, in its one place (4.2): removed, rejected, suspended, unknown, measured.';
