-- What people attest of systems, and what rules are judged by (catalog/attestations.py).

-- name: attest
-- Attest a fact. $1 system, $2 fact, $3 value, $4 document, $5 now, $6 person
INSERT INTO attestation (system_id, fact, value, document, attested_at, attested_by) VALUES ($1, $2, $3, $4, $5, $6);

-- name: attested_systems
-- Systems with sites in a region, by number. $1, $2 region, $3 cursor (system) or null, $4 limit, $5 one system or null
SELECT y.system_id, y.name AS system, u.name AS unit, min(t.district) AS district, array_agg(DISTINCT t.class) AS classes,
       (array_agg(t.name ORDER BY t.site_id))[1:20] AS sites, count(*) AS site_count,
       bool_or(r.first_connected_at IS NOT NULL) AS has_connected
  FROM system y
  JOIN unit u ON u.unit_id = y.unit_id
  JOIN site t ON t.system_id = y.system_id
  LEFT JOIN site_rollup r ON r.site_id = t.site_id
 WHERE t.district BETWEEN $1 AND $2 AND ($3::bigint IS NULL OR y.system_id > $3)
   AND ($5::bigint IS NULL OR y.system_id = $5)
 GROUP BY y.system_id, u.name
 ORDER BY y.system_id
 LIMIT $4;

-- name: attested_facts
-- The last attestation of each fact of some systems. $1 systems
SELECT DISTINCT ON (system_id, fact) system_id, fact, value, document, attested_at, attested_by
  FROM attestation WHERE system_id = ANY ($1::bigint[])
 ORDER BY system_id, fact, attestation_id DESC;

-- name: systems_named
-- Systems with sites in a region by unit and name. $1, $2 region, $3, $4 units and systems, of equal length
SELECT DISTINCT y.system_id, u.name AS unit, y.name AS system
  FROM unnest($3::text[], $4::text[]) n(unit, system)
  JOIN unit u ON u.name = n.unit
  JOIN system y ON y.unit_id = u.unit_id AND y.name = n.system
 WHERE EXISTS (SELECT FROM site t WHERE t.system_id = y.system_id AND t.district BETWEEN $1 AND $2);
