-- Reports as they were signed (catalog/stored_reports.py).

-- name: report_lock
-- One report is numbered or revised at a time, until the transaction ends.
SELECT pg_advisory_xact_lock(hashtextextended('muster.stored_report', 0));

-- name: report_next_number
-- How many reports bear numbers with this beginning. $1 LIKE pattern of the numbers
SELECT count(*) FROM stored_report WHERE number LIKE $1 AND revision = 1;

-- name: report_add
-- Store a revision. $1 number, $2 revision, $3 district, $4 region, $5 first day, $6 last day, $7 start, $8 end,
-- $9 made at, $10 made by, $11 reason, $12 hash of the content, $13 signed document
INSERT INTO stored_report (number, revision, district, region, first_day, last_day, starts_at, ends_at, made_at, made_by,
                           reason, content_sha256, signed)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13);

-- name: report_heads
-- Revisions of reports about regions that begin with a prefix, the newest first. $1 LIKE pattern of the regions,
-- $2 one number or null, $3, $4, $5 cursor (made at, number, revision) or nulls, $6 limit
SELECT number, revision, region, first_day, last_day, starts_at, ends_at, made_at, made_by, reason, content_sha256
  FROM stored_report
 WHERE region LIKE $1 AND ($2::text IS NULL OR number = $2)
   AND ($3::timestamptz IS NULL OR (made_at, number, revision) < ($3, $4::text, $5::int))
 ORDER BY made_at DESC, number DESC, revision DESC LIMIT $6;

-- name: report_read
-- A revision with its signed document, the last one when none is named. $1 number, $2 LIKE pattern of the regions,
-- $3 revision or null
SELECT number, revision, region, first_day, last_day, starts_at, ends_at, made_at, made_by, reason, content_sha256, signed
  FROM stored_report WHERE number = $1 AND region LIKE $2 AND ($3::int IS NULL OR revision = $3)
 ORDER BY revision DESC LIMIT 1;
