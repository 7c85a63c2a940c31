-- Incidents and what became of their sources (catalog/incidents.py).

-- name: incident_list
-- Incidents of gateways that look after a region, the newest first, with the sources lost there, each once, and what
-- became of it. $1, $2 region, $3, $4 cursor (silent from, name) or null, $5 limit or null, $6, $7 period in which they
-- began, as its end tells of them; infinite for all, $8 class or null, $9 unit or null: only sources there
WITH chosen AS (
  SELECT i.* FROM incident i
   WHERE i.silent_from >= $6 AND i.silent_from < $7 AND i.decided_at < $7
     AND EXISTS (SELECT FROM site t WHERE t.gateway_id = i.gateway_id AND t.district BETWEEN $1 AND $2)
     AND ($3::timestamptz IS NULL OR (i.silent_from, i.name) < ($3, $4::text))
   ORDER BY i.silent_from DESC, i.name DESC
   LIMIT $5)
SELECT c.gateway_id, c.name, c.silent_from, c.suspected_at, c.decided_at, c.fault, c.basis, c.silent,
       l.lost, l.sites, l.back, l.last_back, l.districts
  FROM chosen c
  CROSS JOIN LATERAL (
    SELECT count(*) AS lost, count(DISTINCT e.site_id) AS sites, count(x.ended_at) AS back, max(x.ended_at) AS last_back,
           coalesce(array_agg(DISTINCT e.district) FILTER (WHERE e.district IS NOT NULL), '{}') AS districts
      FROM (SELECT DISTINCT ON (v.source_id) v.source_id, v.at, s.site_id, s.district
              FROM evidence v JOIN source s ON s.source_id = v.source_id
             WHERE v.gateway_id = c.gateway_id AND v.detail ? 'incident' AND v.detail ->> 'incident' = c.name
               AND v.at < $7 AND s.district BETWEEN $1 AND $2
               AND ($8::text IS NULL AND $9::text IS NULL OR site_is_of(s.site_id, $8, $9))
             ORDER BY v.source_id, v.seq DESC) e
      LEFT JOIN LATERAL (
        SELECT ended_at FROM connectivity_interval n
         WHERE n.source_id = e.source_id AND n.ended_at > e.at AND n.started_at = e.at AND n.state = 'offline'
           AND n.ended_at <= $7
         LIMIT 1) x ON true) l
 ORDER BY c.silent_from DESC, c.name DESC;

-- name: quarantined
-- How many devices wait for a person: discovered or announced ones, and ones that tried to register.
SELECT (SELECT count(*) FROM sighting WHERE state IN ('quarantined', 'awaiting_confirmation')) AS sightings,
       (SELECT count(*) FROM gb_stranger WHERE refused_at IS NULL) AS registrations;
