-- ONVIF devices: where they are reached, what they told, and their dated history.

-- name: onvif_missing_endpoints
-- Which of these matched devices are not yet a confirmed way to their source.
-- $1: bigint[], sources; $2: text[], hosts; $3: int[], ports; $4: text[], paths
SELECT t.source_id, t.host, t.port, t.path
  FROM unnest($1::bigint[], $2::text[], $3::int[], $4::text[]) AS t(source_id, host, port, path)
  JOIN source s ON s.source_id = t.source_id AND s.lifecycle NOT IN ('removed', 'rejected')
 WHERE NOT EXISTS (SELECT FROM endpoint e WHERE e.source_id = t.source_id AND e.protocol = 'onvif'
                      AND e.host = t.host AND e.port = t.port AND e.confirmed_at IS NOT NULL);

-- name: onvif_keep_streams
-- Let the streams that a source's device told on a host stand when the device is found on another port of it.
-- $1: bigint, the source; $2: text, the host; $3: int, the port
UPDATE endpoint stream SET confirmed_by = 'onvif:' || device.endpoint_id
  FROM endpoint device, endpoint former
 WHERE device.source_id = $1 AND device.protocol = 'onvif' AND device.host = $2 AND device.port = $3
   AND former.source_id = $1 AND former.protocol = 'onvif' AND former.endpoint_id <> device.endpoint_id
   AND stream.source_id = $1 AND stream.host = $2 AND stream.confirmed_by = 'onvif:' || former.endpoint_id;

-- name: onvif_forget_former
-- Forget where a rule found a source's device before, and the streams that it told there: it moved.
-- $1: bigint, the source; $2: text, the host that stays; $3: int, the port that stays
DELETE FROM endpoint
 WHERE source_id = $1 AND protocol = 'onvif' AND origin = 'sighting' AND confirmed_by LIKE 'match:%'
   AND (host, port) IS DISTINCT FROM ($2, $3);

-- name: onvif_due
-- Devices whose interrogation is due, the longest waiting first: never asked, time come, or another password since.
-- $1: text, the gateway; $2: timestamptz, now; $3: int, how many; $4: bigint, only this source; null = all
SELECT e.endpoint_id, e.source_id, e.host, e.port, e.path, e.tls_pin_sha256, e.confirmed_by,
       s.mac, s.serial, s.gb_id,
       k.credential_id, k.ref, k.version, k.username, k.password_encrypted,
       d.asked_at, d.failures, d.cause, d.clock_offset, d.report
  FROM endpoint e
  JOIN source s USING (source_id)
  JOIN connectivity c ON c.source_id = s.source_id AND c.counted
  JOIN site t ON t.site_id = s.site_id AND t.gateway_id = $1
  LEFT JOIN credential k ON k.credential_id = e.credential_id
  LEFT JOIN onvif_device d ON d.endpoint_id = e.endpoint_id
 WHERE e.protocol = 'onvif' AND e.confirmed_at IS NOT NULL
   AND ($4::bigint = e.source_id
        OR ($4::bigint IS NULL AND (d.endpoint_id IS NULL OR d.next_at <= $2 OR d.asked_version IS DISTINCT FROM k.version)))
 ORDER BY d.next_at NULLS FIRST, e.endpoint_id
 LIMIT $3;

-- name: onvif_answered
-- Store what an interrogation told.
-- $1: bigint, endpoint; $2: bigint, source; $3: timestamptz, now; $4: int, version of the credential; $5: timestamptz,
-- due again; $6: double precision, clock offset; $7: text, report as JSON
INSERT INTO onvif_device (endpoint_id, source_id, asked_at, asked_version, next_at, answered_at, clock_offset, report)
SELECT $1, $2, $3::timestamptz, $4, $5, $3, $6, $7::jsonb
 WHERE EXISTS (SELECT FROM endpoint WHERE endpoint_id = $1)
ON CONFLICT (endpoint_id) DO UPDATE
   SET asked_at = excluded.asked_at, asked_version = excluded.asked_version, next_at = excluded.next_at,
       answered_at = excluded.answered_at, failures = 0, cause = NULL, failure = NULL,
       clock_offset = excluded.clock_offset, report = excluded.report;

-- name: onvif_failed
-- Store that an interrogation failed; what an earlier one told stays.
-- $1: bigint, endpoint; $2: bigint, source; $3: timestamptz, now; $4: int, version of the credential; $5: timestamptz,
-- due again; $6: text, cause; $7: text, sentence
INSERT INTO onvif_device AS d (endpoint_id, source_id, asked_at, asked_version, next_at, failures, cause, failure)
SELECT $1, $2, $3::timestamptz, $4, $5, 1, $6, $7
 WHERE EXISTS (SELECT FROM endpoint WHERE endpoint_id = $1)
ON CONFLICT (endpoint_id) DO UPDATE
   SET asked_at = excluded.asked_at, asked_version = excluded.asked_version, next_at = excluded.next_at,
       failures = d.failures + 1, cause = excluded.cause, failure = excluded.failure;

-- name: onvif_hasten
-- Make devices due now, unless they were asked a moment ago or refused the password.
-- $1: text[], hosts; $2: timestamptz, now; $3: timestamptz, asked before
UPDATE onvif_device d SET next_at = $2
  FROM endpoint e
 WHERE e.endpoint_id = d.endpoint_id AND e.protocol = 'onvif' AND e.host = ANY ($1)
   AND d.asked_at < $3 AND d.next_at > $2 AND d.cause IS DISTINCT FROM 'authentication_failed';

-- name: onvif_sources_at
-- The sources whose confirmed ONVIF device is at one of these hosts.
-- $1: text[], hosts
SELECT DISTINCT host, source_id FROM endpoint
 WHERE protocol = 'onvif' AND confirmed_at IS NOT NULL AND host = ANY ($1)
 ORDER BY host, source_id;

-- name: onvif_stream_endpoints
-- The RTSP ways to a source, those of this host marked.
-- $1: bigint, the source; $2: text, the host
SELECT endpoint_id, protocol, host, port, path, confirmed_by, confirmed_at IS NOT NULL AS is_confirmed
  FROM endpoint WHERE source_id = $1 AND protocol IN ('rtsp', 'rtsps') ORDER BY priority, endpoint_id;

-- name: onvif_add_stream
-- Add the stream address that the source's own device told, with the device's credential.
-- $1: bigint, the source; $2: text, protocol; $3: text, host; $4: int, port; $5: text, path; $6: bigint, credential;
-- $7: timestamptz, now; $8: text, who: onvif:<endpoint>
INSERT INTO endpoint AS e (source_id, protocol, host, port, path, credential_id, origin, confirmed_at, confirmed_by, priority)
VALUES ($1, $2, $3, $4, $5, $6, 'sighting', $7, $8, coalesce((SELECT max(priority) + 1 FROM endpoint WHERE source_id = $1), 0))
ON CONFLICT (source_id, protocol, host, port, path) DO UPDATE
   SET confirmed_at = excluded.confirmed_at, confirmed_by = excluded.confirmed_by,
       credential_id = coalesce(e.credential_id, excluded.credential_id)
 WHERE e.confirmed_at IS NULL;

-- name: onvif_remove_streams
-- Forget stream addresses that an ONVIF device told: it tells others now, or is not the source's any more.
-- $1: bigint, the source; $2: text, who told them; $3: bigint[], endpoints that stay
DELETE FROM endpoint
 WHERE source_id = $1 AND confirmed_by = $2 AND origin = 'sighting' AND NOT endpoint_id = ANY ($3::bigint[]);

-- name: onvif_withdraw_match
-- Take back an ONVIF address that a rule found, not a person.
-- $1: bigint, the endpoint
DELETE FROM endpoint WHERE endpoint_id = $1 AND origin = 'sighting' AND confirmed_by LIKE 'match:%';

-- name: onvif_of_source
-- The ONVIF devices of a source with their last interrogation, the likeliest first.
-- $1: bigint, the source
SELECT e.endpoint_id, e.host, e.port, e.path, e.tls_pin_sha256, e.confirmed_by,
       d.asked_at, d.answered_at, d.next_at, d.failures, d.cause, d.failure, d.clock_offset, d.report
  FROM endpoint e LEFT JOIN onvif_device d USING (endpoint_id)
 WHERE e.source_id = $1 AND e.protocol = 'onvif' AND e.confirmed_at IS NOT NULL
 ORDER BY d.answered_at DESC NULLS LAST, e.priority, e.endpoint_id;

-- name: device_event_add
-- Append dated facts.
-- $1: bigint[], sources; $2: timestamptz[], when; $3: text[], kind; $4: text[], person or null; $5: text[], detail as JSON
INSERT INTO device_event (source_id, at, kind, person, detail)
SELECT t.source_id, t.at, t.kind, t.person, t.detail::jsonb
  FROM unnest($1::bigint[], $2::timestamptz[], $3::text[], $4::text[], $5::text[])
       WITH ORDINALITY AS t(source_id, at, kind, person, detail, place)
 WHERE EXISTS (SELECT FROM source s WHERE s.source_id = t.source_id)
 ORDER BY t.place;

-- name: device_event_recent
-- The newest dated facts of a source.
-- $1: bigint, the source; $2: int, how many
SELECT at, kind, person, detail FROM device_event WHERE source_id = $1 ORDER BY at DESC, event_id DESC LIMIT $2;

-- name: device_event_fresh
-- Which of these sources already have a fact of this kind since then.
-- $1: bigint[], sources; $2: text, kind; $3: timestamptz, since
SELECT DISTINCT source_id FROM device_event WHERE source_id = ANY ($1) AND kind = $2 AND at >= $3;
