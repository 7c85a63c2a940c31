-- Reports as they were signed (catalog/stored_reports.py).

-- name: report_lock
-- One report is numbered or revised at a time, until the transaction ends.
SELECT pg_advisory_xact_lock(hashtextextended('muster.stored_report', 0));

-- name: report_next_number
-- How many reports bear numbers with this beginning. $1 LIKE pattern of the numbers
SELECT count(*) FROM stored_report WHERE number LIKE $1 AND revision = 1;

-- name: report_add
-- Store a revision. $1 number, $2 revision, $3 district, $4 region, $5 first day, $6 last day, $7 start, $8 end,
-- $9 told by, $10, $11, $12 class, unit and edition or nulls, $13 made at, $14 made by, $15 reason, $16 hash of the
-- content, $17 signed document
INSERT INTO stored_report (number, revision, district, region, first_day, last_day, starts_at, ends_at, told_by, place_class,
                           unit, edition, made_at, made_by, reason, content_sha256, signed)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17);

-- name: report_heads
-- Revisions of reports about regions that begin with a prefix, the newest first. $1 LIKE pattern of the regions,
-- $2 one number or null, $3, $4, $5 cursor (made at, number, revision) or nulls, $6 limit
SELECT number, revision, region, first_day, last_day, starts_at, ends_at, told_by, place_class, unit, edition,
       made_at, made_by, reason, content_sha256
  FROM stored_report
 WHERE region LIKE $1 AND ($2::text IS NULL OR number = $2)
   AND ($3::timestamptz IS NULL OR (made_at, number, revision) < ($3, $4::text, $5::int))
 ORDER BY made_at DESC, number DESC, revision DESC LIMIT $6;

-- name: report_read
-- A revision with its signed document, the last one when none is named. $1 number, $2 LIKE pattern of the regions,
-- $3 revision or null
SELECT number, revision, region, first_day, last_day, starts_at, ends_at, told_by, place_class, unit, edition,
       made_at, made_by, reason, content_sha256, signed
  FROM stored_report WHERE number = $1 AND region LIKE $2 AND ($3::int IS NULL OR revision = $3)
 ORDER BY revision DESC LIMIT 1;

-- name: report_site_rows
-- The sites of a region, and how many of their sources stood on the roll at an instant, of these never connected by then,
-- and of these had been in contact. $1, $2 the region's first and last code, $3 instant, $4 class or null, $5 unit or null
SELECT t.site_id, t.district, t.name AS site, t.class, u.name AS unit, t.gateway_id,
       coalesce(s.required, 0) AS required, coalesce(s.never, 0) AS never,
       coalesce(s.seen, 0) AS seen
  FROM site t
  JOIN system y ON y.system_id = t.system_id
  JOIN unit u ON u.unit_id = y.unit_id
  LEFT JOIN (SELECT s.site_id, count(*) AS required,
                    count(*) FILTER (WHERE c.first_connected_at IS NULL OR c.first_connected_at > $3) AS never,
                    count(*) FILTER (WHERE (c.first_connected_at IS NULL OR c.first_connected_at > $3)
                                       AND c.seen_at <= $3) AS seen
               FROM source s JOIN connectivity c ON c.source_id = s.source_id
              WHERE s.district BETWEEN $1 AND $2 AND s.lifecycle <> 'rejected' AND s.created_at <= $3
                AND (s.retired_at IS NULL OR s.retired_at > $3)
              GROUP BY s.site_id) s ON s.site_id = t.site_id
 WHERE t.district BETWEEN $1 AND $2 AND ($4::text IS NULL OR t.class = $4) AND ($5::text IS NULL OR u.name = $5);

-- name: report_duties
-- The duties that ever bound the sites of a region. $1, $2 the region's first and last code
SELECT t.site_id, y.effective_from, y.due_on, y.withdrawn_on, y.basis
  FROM duty y JOIN site t ON y.site_id = t.site_id WHERE t.district BETWEEN $1 AND $2
UNION ALL
SELECT t.site_id, y.effective_from, y.due_on, y.withdrawn_on, y.basis
  FROM duty y JOIN site t ON y.system_id = t.system_id WHERE t.district BETWEEN $1 AND $2;

-- name: report_long_offline
-- Sources of a region that were offline at an instant, and had been since an earlier one at least, whatever is laid
-- over it. $1, $2 the region's first and last code, $3 instant, $4 the earlier one
SELECT source_id FROM connectivity
 WHERE district BETWEEN $1 AND $2 AND state = 'offline' AND since <= $4
UNION
SELECT source_id FROM connectivity_interval
 WHERE district BETWEEN $1 AND $2 AND state = 'offline' AND started_at <= $4 AND ended_at > $3
 ORDER BY source_id;
