-- The public catalog: what an edition is compiled from, and what of it is kept.
-- public_duties is the only statement that reads confidential columns here, and only to keep them out of names.

-- name: public_duties
-- The duties of a jurisdiction on a day, one row a duty. A name that repeats what is confidential of the same site
-- (code, network address, MAC, serial number, path, install position; 8 characters or more) is marked.
-- $1: text, LIKE pattern of the districts; $2: date, the day
SELECT d.entry_id, u.name AS holder, u.kind = 'natural_person' AS is_person, t.class, t.district,
       CASE WHEN d.site_id IS NOT NULL THEN t.name END AS site_name, d.due_on, d.basis,
       coalesce(leak.in_site, false) AS site_name_leaks, coalesce(leak.in_holder, false) AS holder_leaks
  FROM duty d
  JOIN LATERAL (SELECT site_id, district, system_id, name, class, address FROM site
                 WHERE site.site_id = d.site_id OR site.system_id = d.system_id ORDER BY site_id LIMIT 1) t ON true
  JOIN system y ON y.system_id = t.system_id
  JOIN unit u ON u.unit_id = y.unit_id
  LEFT JOIN LATERAL (
    SELECT bool_or(strpos(lower(t.name), lower(v.text)) > 0) AS in_site,
           bool_or(strpos(lower(u.name), lower(v.text)) > 0) AS in_holder
      FROM (SELECT t.address AS text
             UNION ALL
            SELECT x.text FROM source s CROSS JOIN LATERAL (VALUES (s.gb_id), (s.mac), (s.serial), (s.name)) x(text)
             WHERE s.site_id = t.site_id
             UNION ALL
            SELECT x.text FROM source s JOIN endpoint e ON e.source_id = s.source_id
             CROSS JOIN LATERAL (VALUES (e.host), (e.path)) x(text)
             WHERE s.site_id = t.site_id) v
     WHERE length(v.text) >= 8) leak ON true
 WHERE t.district LIKE $1 AND d.effective_from <= $2 AND (d.withdrawn_on IS NULL OR d.withdrawn_on > $2)
 ORDER BY d.entry_id;

-- name: edition_lock
-- One publication at a time, until the transaction ends.
SELECT pg_advisory_xact_lock(hashtextextended('muster.edition', 0));

-- name: edition_next_number
-- How many editions of a jurisdiction bear numbers with this beginning.
-- $1: text, six digits; $2: text, LIKE pattern of the numbers
SELECT count(*) FROM edition WHERE district = $1 AND number LIKE $2;

-- name: edition_add
-- A new edition.
-- $1: district; $2: number; $3: profile; $4: legal basis; $5: issued by; $6: contact; $7: compiled at; $8: published at;
-- $9: published by; $10: effective from
INSERT INTO edition (district, number, profile, legal_basis, issued_by, contact, compiled_at, published_at, published_by,
                     effective_from)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) RETURNING edition_id;

-- name: edition_list
-- The editions of a jurisdiction, the newest first, and the day on which the next one that counts took effect.
-- $1: text, six digits
SELECT e.edition_id, e.number, e.profile, e.legal_basis, e.issued_by, e.contact, e.published_at, e.effective_from,
       w.withdrawn_at, w.reason AS withdrawal_reason,
       (SELECT n.effective_from FROM edition n
         WHERE n.district = e.district AND n.edition_id > e.edition_id
           AND NOT EXISTS (SELECT FROM edition_withdrawal x WHERE x.edition_id = n.edition_id)
         ORDER BY n.edition_id LIMIT 1) AS effective_to
  FROM edition e LEFT JOIN edition_withdrawal w ON w.edition_id = e.edition_id
 WHERE e.district = $1 ORDER BY e.edition_id DESC;

-- name: edition_withdraw
-- Withdraw an edition; returns no row where there is none of this number, or it was withdrawn before.
-- $1: district; $2: number; $3: instant; $4: person; $5: reason
INSERT INTO edition_withdrawal (edition_id, withdrawn_at, withdrawn_by, reason)
SELECT edition_id, $3, $4, $5 FROM edition WHERE district = $1 AND number = $2
ON CONFLICT DO NOTHING RETURNING edition_id;

-- name: edition_entries
-- The rows of an edition.
-- $1: bigint, the edition
SELECT entry_id, holder, class, district, site_name, due_on, basis FROM edition_entry WHERE edition_id = $1 ORDER BY position;
