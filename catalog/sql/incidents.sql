-- Incidents and what became of their sources (catalog/incidents.py).

-- name: incident_list
-- Incidents of gateways that look after a region, the newest first, with the sources lost there. $1, $2 region,
-- $3, $4 cursor (silent from, name) or null, $5 limit
WITH chosen AS (
  SELECT i.* FROM incident i
   WHERE EXISTS (SELECT FROM site t WHERE t.gateway_id = i.gateway_id AND t.district BETWEEN $1 AND $2)
     AND ($3::timestamptz IS NULL OR (i.silent_from, i.name) < ($3, $4::text))
   ORDER BY i.silent_from DESC, i.name DESC
   LIMIT $5)
SELECT c.gateway_id, c.name, c.silent_from, c.suspected_at, c.decided_at, c.fault, c.basis, c.silent,
       l.lost, l.sites, l.back, l.last_back, l.districts
  FROM chosen c
  CROSS JOIN LATERAL (
    SELECT count(*) AS lost, count(DISTINCT s.site_id) AS sites, count(x.ended_at) AS back, max(x.ended_at) AS last_back,
           coalesce(array_agg(DISTINCT s.district) FILTER (WHERE s.district IS NOT NULL), '{}') AS districts
      FROM evidence e
      JOIN source s ON s.source_id = e.source_id
      LEFT JOIN LATERAL (
        SELECT ended_at FROM connectivity_interval n
         WHERE n.source_id = e.source_id AND n.ended_at > e.at AND n.started_at = e.at AND n.state = 'offline'
         LIMIT 1) x ON true
     WHERE e.gateway_id = c.gateway_id AND e.detail ? 'incident' AND e.detail ->> 'incident' = c.name
       AND s.district BETWEEN $1 AND $2) l
 ORDER BY c.silent_from DESC, c.name DESC;

-- name: incidents_of_period
-- Incidents that began in a period, with what they cost a region as far as its end tells. $1, $2 region, $3, $4 period
SELECT i.gateway_id, i.name, i.silent_from, i.suspected_at, i.decided_at, i.fault, i.basis, i.silent,
       l.lost, l.sites, l.back, l.last_back, l.districts
  FROM incident i
  CROSS JOIN LATERAL (
    SELECT count(*) AS lost, count(DISTINCT s.site_id) AS sites, count(x.ended_at) AS back, max(x.ended_at) AS last_back,
           coalesce(array_agg(DISTINCT s.district) FILTER (WHERE s.district IS NOT NULL), '{}') AS districts
      FROM evidence e
      JOIN source s ON s.source_id = e.source_id
      LEFT JOIN LATERAL (
        SELECT ended_at FROM connectivity_interval n
         WHERE n.source_id = e.source_id AND n.ended_at > e.at AND n.started_at = e.at AND n.state = 'offline'
           AND n.ended_at <= $4
         LIMIT 1) x ON true
     WHERE e.gateway_id = i.gateway_id AND e.detail ? 'incident' AND e.detail ->> 'incident' = i.name AND e.at < $4
       AND s.district BETWEEN $1 AND $2) l
 WHERE i.silent_from >= $3 AND i.silent_from < $4 AND i.decided_at < $4
   AND EXISTS (SELECT FROM site t WHERE t.gateway_id = i.gateway_id AND t.district BETWEEN $1 AND $2)
 ORDER BY i.silent_from, i.gateway_id, i.name;

-- name: quarantined
-- How many devices wait for a person: discovered or announced ones, and ones that tried to register.
SELECT (SELECT count(*) FROM sighting WHERE state IN ('quarantined', 'awaiting_confirmation')) AS sightings,
       (SELECT count(*) FROM gb_stranger WHERE refused_at IS NULL) AS registrations;
