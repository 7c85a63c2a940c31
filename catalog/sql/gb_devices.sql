-- GB/T 28181: accounts of devices, their registrations, channels, events, and the quarantine.

-- name: gb_device_add
-- Make the account of a device; no row where there is one.
-- $1: text, code; $2: text, gateway; $3: text, name; $4: bigint, credential; $5: text, media; $6: text, stream;
-- $7: timestamptz; $8: text, person
INSERT INTO gb_device (device_id, gateway_id, name, credential_id, media, stream, added_at, added_by)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
ON CONFLICT (device_id) DO NOTHING
RETURNING device_id;

-- name: gb_device_change
-- Change name, way of the media and stream; null leaves as it is.
-- $1: text, code; $2: text, gateway; $3: text, name; $4: text, media; $5: text, stream
UPDATE gb_device SET name = coalesce($3, name), media = coalesce($4, media), stream = coalesce($5, stream)
 WHERE device_id = $1 AND gateway_id = $2
RETURNING device_id;

-- name: gb_device_remove
-- Remove the account of a device, its channels with it; what it told stays in gb_event.
-- $1: text, code; $2: text, gateway
DELETE FROM gb_device WHERE device_id = $1 AND gateway_id = $2 RETURNING credential_id;

-- name: gb_endpoints_forget
-- Forget the ways to sources that a device is.
-- $1: text, code of the device
DELETE FROM endpoint WHERE protocol = 'gb28181' AND confirmed_by = 'gb28181:' || $1;

-- name: gb_credential_forget
-- Forget a password that nothing uses any more.
-- $1: bigint, the credential
DELETE FROM credential k
 WHERE credential_id = $1 AND NOT EXISTS (SELECT FROM endpoint e WHERE e.credential_id = k.credential_id);

-- name: gb_devices
-- Every account of a gateway with its last registration, by code.
-- $1: text, gateway; $2: text, only this device; null = all
SELECT d.device_id, d.name, d.media, d.stream, d.added_at, d.added_by, d.transport, d.host, d.port, d.link, d.registered_at,
       d.expires_at, d.version, d.user_agent, d.left_at, d.left_why, d.told, d.clock_offset, d.catalog_at,
       d.catalog_whole, k.credential_id, k.ref, k.version AS credential_version, k.username, k.password_encrypted,
       c.channels, c.matched
  FROM gb_device d
  JOIN credential k USING (credential_id)
 CROSS JOIN LATERAL (
   SELECT count(*) FILTER (WHERE g.is_video) AS channels,
          count(*) FILTER (WHERE EXISTS (SELECT FROM endpoint e WHERE e.protocol = 'gb28181'
                             AND split_part(e.path, '?', 1) = '/' || d.device_id || '/' || g.channel_id)) AS matched
     FROM gb_channel g WHERE g.device_id = d.device_id) c
 WHERE d.gateway_id = $1 AND ($2::text IS NULL OR d.device_id = $2)
 ORDER BY d.device_id;

-- name: gb_registered
-- Store registrations. Arrays of equal length, a device once.
-- $1: text[], code; $2: text[], transport; $3: text[], host; $4: int[], port; $5: int[], link; $6: timestamptz[], at;
-- $7: timestamptz[], expires; $8: text[], version; $9: text[], user agent
UPDATE gb_device d
   SET transport = t.transport, host = t.host, port = t.port, link = t.link, registered_at = t.at,
       expires_at = t.expires, version = t.version, user_agent = t.agent, left_at = NULL, left_why = NULL
  FROM unnest($1::text[], $2::text[], $3::text[], $4::int[], $5::int[], $6::timestamptz[], $7::timestamptz[],
              $8::text[], $9::text[]) AS t(device_id, transport, host, port, link, at, expires, version, agent)
 WHERE d.device_id = t.device_id;

-- name: gb_left
-- Store that devices left.
-- $1: text[], codes; $2: timestamptz[], at; $3: text[], why
UPDATE gb_device d SET left_at = t.at, left_why = t.why
  FROM unnest($1::text[], $2::timestamptz[], $3::text[]) AS t(device_id, at, why)
 WHERE d.device_id = t.device_id;

-- name: gb_endpoints_move
-- Let the ways to sources follow the addresses of their devices. The port that a device sends from changes with every
-- connection and many a NAT: a pull under way does not depend on it.
-- $1: text[], codes; $2: text[], hosts
UPDATE endpoint e SET host = t.host
  FROM unnest($1::text[], $2::text[]) AS t(device_id, host)
 WHERE e.protocol = 'gb28181' AND e.confirmed_by = 'gb28181:' || t.device_id AND e.host <> t.host;

-- name: gb_told
-- Store what a device told of itself; null leaves as it is.
-- $1: text, code; $2: jsonb, fields; $3: double precision, clock offset
UPDATE gb_device SET told = told || coalesce($2::jsonb, '{}'), clock_offset = coalesce($3, clock_offset)
 WHERE device_id = $1;

-- name: gb_catalog_took
-- Note that the catalog of a device came.
-- $1: text, code; $2: timestamptz, at; $3: boolean, whether it was whole
UPDATE gb_device SET catalog_at = $2, catalog_whole = $3 WHERE device_id = $1;

-- name: gb_channels_put
-- Store channels that a device told of.
-- $1: text, code of the device; $2: timestamptz, now; $3: text[], codes; $4: text[], names; $5: text[], makers;
-- $6: text[], models; $7: text[], parents; $8: boolean[], video; $9: boolean[], on; $10: text[], details as JSON
INSERT INTO gb_channel AS g (device_id, channel_id, name, manufacturer, model, parent_id, is_video, is_on, detail,
                             first_seen_at, last_seen_at)
SELECT $1, t.channel_id, t.name, t.manufacturer, t.model, t.parent_id, t.is_video, t.is_on, t.detail::jsonb,
       $2::timestamptz, $2::timestamptz
  FROM unnest($3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::boolean[], $9::boolean[], $10::text[])
    AS t(channel_id, name, manufacturer, model, parent_id, is_video, is_on, detail)
 WHERE EXISTS (SELECT FROM gb_device WHERE device_id = $1)
ON CONFLICT (device_id, channel_id) DO UPDATE
   SET name = excluded.name, manufacturer = excluded.manufacturer, model = excluded.model,
       parent_id = excluded.parent_id, is_video = excluded.is_video, is_on = coalesce(excluded.is_on, g.is_on),
       detail = excluded.detail, last_seen_at = excluded.last_seen_at, missing_since = NULL;

-- name: gb_channels_missing
-- Note which channels a whole catalog does not hold any more.
-- $1: text, code of the device; $2: timestamptz, now; $3: text[], the codes that it holds
UPDATE gb_channel SET missing_since = $2::timestamptz
 WHERE device_id = $1 AND missing_since IS NULL AND channel_id <> ALL ($3::text[]);

-- name: gb_channels_turned
-- Store what was told of single channels.
-- $1: text[], codes of devices; $2: text[], of channels; $3: boolean[], whether on; $4: timestamptz, now
UPDATE gb_channel g SET is_on = t.is_on, last_seen_at = $4::timestamptz
  FROM unnest($1::text[], $2::text[], $3::boolean[]) AS t(device_id, channel_id, is_on)
 WHERE g.device_id = t.device_id AND g.channel_id = t.channel_id;

-- name: gb_channels
-- The channels of a device, with the source that each is and whether another device tells the same code.
-- $1: text, code of the device
SELECT g.channel_id, g.name, g.manufacturer, g.model, g.parent_id, g.is_video, g.is_on, g.detail, g.first_seen_at,
       g.last_seen_at, g.missing_since,
       (SELECT e.source_id FROM endpoint e WHERE e.protocol = 'gb28181'
           AND split_part(e.path, '?', 1) = '/' || g.device_id || '/' || g.channel_id LIMIT 1) AS source_id,
       EXISTS (SELECT FROM gb_channel o WHERE o.channel_id = g.channel_id AND o.device_id <> g.device_id) AS is_shared
  FROM gb_channel g
 WHERE g.device_id = $1
 ORDER BY g.channel_id;

-- name: gb_sources
-- Which sources of a gateway these codes are, and over which device they come already.
-- $1: text, gateway; $2: text[], codes
SELECT s.source_id, s.gb_id, e.confirmed_by
  FROM source s
  JOIN site t ON t.site_id = s.site_id AND t.gateway_id = $1
  LEFT JOIN endpoint e ON e.source_id = s.source_id AND e.protocol = 'gb28181'
 WHERE s.gb_id = ANY ($2::text[]) AND s.lifecycle NOT IN ('removed', 'rejected')
 ORDER BY s.source_id;

-- name: gb_endpoints_add
-- Make channels of a device the way to their sources; harmless when repeated.
-- The path tells all that a pull needs: /<device>/<channel>?media=<way>, with &stream=sub for the sub stream.
-- $1: text, code of the device; $2: timestamptz, now; $3: text, host; $4: bigint[], sources; $5: text[], channels
INSERT INTO endpoint (source_id, protocol, host, port, path, transport, origin, confirmed_at, confirmed_by)
SELECT t.source_id, 'gb28181', $3, 5060, '/' || d.device_id || '/' || t.channel_id || '?media=' || d.media
         || CASE d.stream WHEN 'sub' THEN '&stream=sub' ELSE '' END,
       CASE d.media WHEN 'udp' THEN 'udp' ELSE 'tcp' END, 'sighting', $2::timestamptz, 'gb28181:' || d.device_id
  FROM gb_device d, unnest($4::bigint[], $5::text[]) AS t(source_id, channel_id)
 WHERE d.device_id = $1
   AND NOT EXISTS (SELECT FROM endpoint e WHERE e.source_id = t.source_id AND e.protocol = 'gb28181');

-- name: gb_endpoints_by_media
-- Let the ways over a device follow how its media come and which stream is asked for.
-- $1: text, code of the device
UPDATE endpoint e
   SET path = split_part(e.path, '?', 1) || '?media=' || d.media
              || CASE d.stream WHEN 'sub' THEN '&stream=sub' ELSE '' END,
       transport = CASE d.media WHEN 'udp' THEN 'udp' ELSE 'tcp' END
  FROM gb_device d
 WHERE d.device_id = $1 AND e.protocol = 'gb28181' AND e.confirmed_by = 'gb28181:' || d.device_id;

-- name: gb_ways
-- Every source of a gateway that comes over a device: which, and by which channel.
-- $1: text, gateway
SELECT e.source_id, p.device_id, p.channel_id, g.is_on
  FROM endpoint e
 CROSS JOIN LATERAL (SELECT split_part(e.path, '/', 2) AS device_id,
                            split_part(split_part(e.path, '?', 1), '/', 3) AS channel_id) p
  JOIN source s USING (source_id)
  JOIN site t ON t.site_id = s.site_id AND t.gateway_id = $1
  LEFT JOIN gb_channel g ON g.device_id = p.device_id AND g.channel_id = p.channel_id
 WHERE e.protocol = 'gb28181' AND s.lifecycle NOT IN ('removed', 'rejected')
 ORDER BY e.source_id;

-- name: gb_strangers_put
-- Note who was refused. Arrays of equal length, a code once. That one came too often, or with too many others, says
-- nothing new of it: a code is not kept for that alone, or one address could invent thousands, and a device that only
-- has to come again later would stand here.
-- $1: text[], codes; $2: text[], transports; $3: text[], hosts; $4: int[], ports; $5: text[], why; $6: text[], user agents;
-- $7: bigint[], times; $8: timestamptz, now
INSERT INTO gb_stranger AS s (device_id, transport, host, port, why, user_agent, times, first_at, last_at)
SELECT t.device_id, t.transport, t.host, t.port, t.why, t.agent, t.times, $8::timestamptz, $8::timestamptz
  FROM unnest($1::text[], $2::text[], $3::text[], $4::int[], $5::text[], $6::text[], $7::bigint[])
    AS t(device_id, transport, host, port, why, agent, times)
 WHERE t.why NOT IN ('too_many_failures', 'busy') OR EXISTS (SELECT FROM gb_stranger o WHERE o.device_id = t.device_id)
ON CONFLICT (device_id) DO UPDATE
   SET transport = excluded.transport, host = excluded.host, port = excluded.port,
       why = CASE WHEN excluded.why IN ('too_many_failures', 'busy') THEN s.why ELSE excluded.why END,
       user_agent = excluded.user_agent, times = s.times + excluded.times, last_at = excluded.last_at;

-- name: gb_strangers_bound
-- Forget those beyond the most that are kept, those that were longest quiet first: a device that is really there tries
-- again, an invented code does not.
-- $1: bigint, how many codes are kept
DELETE FROM gb_stranger WHERE device_id IN (
  SELECT device_id FROM gb_stranger ORDER BY refused_at IS NULL, last_at DESC, times DESC, device_id OFFSET $1);

-- name: gb_strangers
-- The quarantine, the latest first.
-- $1: int, how many
SELECT device_id, transport, host, port, why, user_agent, times, first_at, last_at, refused_at, refused_by
  FROM gb_stranger ORDER BY refused_at IS NOT NULL, last_at DESC, device_id LIMIT $1;

-- name: gb_stranger_refuse
-- Note that a person decided that a stranger stays outside.
-- $1: text, code; $2: timestamptz, at; $3: text, person
UPDATE gb_stranger SET refused_at = $2, refused_by = $3 WHERE device_id = $1 RETURNING device_id;

-- name: gb_stranger_accept
-- Take a code out of the quarantine: it has an account now.
-- $1: text, code
DELETE FROM gb_stranger WHERE device_id = $1;

-- name: gb_strangers_forget
-- Forget strangers that did not try again for long.
-- $1: timestamptz, their last try was before
DELETE FROM gb_stranger WHERE last_at < $1;

-- name: gb_events_add
-- Append dated facts. Arrays of equal length.
-- $1: text[], devices; $2: text[], channels; $3: timestamptz[], at; $4: text[], kinds; $5: text[], details as JSON
INSERT INTO gb_event (device_id, channel_id, at, kind, detail)
SELECT t.device_id, t.channel_id, t.at, t.kind, t.detail::jsonb
  FROM unnest($1::text[], $2::text[], $3::timestamptz[], $4::text[], $5::text[])
    AS t(device_id, channel_id, at, kind, detail);

-- name: gb_events
-- What a device told or showed, the latest first.
-- $1: text, device; $2: int, how many
SELECT channel_id, at, kind, detail FROM gb_event WHERE device_id = $1 ORDER BY at DESC, event_id DESC LIMIT $2;
