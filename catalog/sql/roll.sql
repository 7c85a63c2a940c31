-- The roll: staging of a file, comparison with the catalog, and the set-based writes of an import.
-- All of an import runs in one transaction; roll_stage holds the file's rows for its length.

-- name: jurisdictions
-- Every jurisdiction.
SELECT district, name, profile, base_profile FROM jurisdiction ORDER BY district;

-- name: jurisdiction_save
-- Make or change a jurisdiction; the districts inside it follow its profile.
-- $1: text, six digits; $2: name; $3: profile; $4: base profile or null; $5: LIKE pattern of the districts inside
WITH saved AS (
  INSERT INTO jurisdiction (district, name, profile, base_profile) VALUES ($1, $2, $3, $4)
  ON CONFLICT (district) DO UPDATE
     SET name = excluded.name, profile = excluded.profile, base_profile = excluded.base_profile)
UPDATE jurisdiction SET profile = $3, base_profile = $4 WHERE district LIKE $5 AND district <> $1;

-- name: roll_lock
-- One import at a time, until the transaction ends.
SELECT pg_advisory_xact_lock(hashtextextended('muster.roll', 0));

-- name: roll_stage_create
-- The file's rows, and what they are matched to.
CREATE TEMP TABLE roll_stage (
  row int NOT NULL, key text NOT NULL, alternative_key text, unit text NOT NULL, unit_kind text, system text NOT NULL,
  site text NOT NULL, class text NOT NULL, location_type text, district text NOT NULL, gb_id text, protocol text,
  host text, port int, path text, mac text, serial text, credential_ref text, due_on date, basis text,
  attested boolean NOT NULL, rejected_by text, source_id bigint, site_id bigint
) ON COMMIT DROP;

-- name: roll_stage_index
-- Prepare the staged rows for matching.
CREATE UNIQUE INDEX ON roll_stage (key);

-- name: roll_stage_analyze
-- Let the planner know how many rows there are.
ANALYZE roll_stage;

-- name: roll_analyze
-- Before many are compared: the planner would otherwise guess from what the catalog was long ago.
ANALYZE source, site, endpoint, duty, connectivity;

-- name: roll_analyze_new
-- After many new rows. Never of tables that are still empty: measured, a plan for no rows took 105 s for 100,000.
ANALYZE source, site;

-- name: roll_match_key
-- Rule 1: the row's identity is known.
UPDATE roll_stage r SET source_id = s.source_id
  FROM source s WHERE s.roll_key = r.key AND s.lifecycle <> 'removed';

-- name: roll_match_gb_id
-- Rule 2: a live source has the row's 20-digit code, under another identity.
UPDATE roll_stage r SET source_id = s.source_id
  FROM source s
 WHERE r.source_id IS NULL AND r.gb_id IS NOT NULL AND s.gb_id = r.gb_id AND s.lifecycle <> 'removed'
   AND NOT EXISTS (SELECT FROM roll_stage o WHERE o.source_id = s.source_id);

-- name: roll_match_alternative
-- Rule 3: the row was known before it had a 20-digit code; only where that is unambiguous.
UPDATE roll_stage r SET source_id = s.source_id
  FROM source s
 WHERE r.source_id IS NULL AND s.roll_key = r.alternative_key AND s.gb_id IS NULL AND s.lifecycle <> 'removed'
   AND NOT EXISTS (SELECT FROM roll_stage o WHERE o.source_id = s.source_id)
   AND NOT EXISTS (SELECT FROM roll_stage o WHERE o.alternative_key = r.alternative_key AND o.row <> r.row);

-- name: roll_current_create
-- What the catalog says of the matched sources, in the columns of the file.
CREATE TEMP TABLE roll_current ON COMMIT DROP AS
SELECT r.row, s.source_id, s.site_id, s.district, s.roll_key, u.name AS unit, u.kind AS unit_kind, y.name AS system,
       t.name AS site, t.class, s.location_type, s.gb_id, e.protocol, e.host, e.port, e.path, s.mac, s.serial,
       k.ref AS credential_ref, d.due_on, d.basis, coalesce(e.confirmed_at IS NOT NULL, false) AS attested,
       coalesce(e.confirmed_by NOT LIKE 'roll:%', false) AS confirmed_elsewhere,
       s.lifecycle, s.lifecycle_reason, c.first_connected_at IS NOT NULL AS has_connected
  FROM roll_stage r
  JOIN source s ON s.source_id = r.source_id
  JOIN site t ON t.site_id = s.site_id
  JOIN system y ON y.system_id = t.system_id
  JOIN unit u ON u.unit_id = y.unit_id
  LEFT JOIN connectivity c ON c.source_id = s.source_id
  LEFT JOIN (SELECT DISTINCT ON (source_id) source_id, protocol, host, port, path, confirmed_at, confirmed_by, credential_id
               FROM endpoint WHERE origin = 'roll' ORDER BY source_id, endpoint_id) e ON e.source_id = s.source_id
  LEFT JOIN credential k ON k.credential_id = e.credential_id
  LEFT JOIN duty d ON d.site_id = t.site_id AND d.withdrawn_on IS NULL;

-- name: roll_wanted_create
-- What the matched sources shall be after the import. A blank cell keeps what operators and discovery entered:
-- location, MAC, serial, code, kind of unit and, at the same address, credential and confirmation. A source rejected for its place is admitted again when
-- the roll names a permitted place; one rejected for another reason stays so.
-- $1: text[], requirement ids by which places are forbidden
CREATE TEMP TABLE roll_wanted ON COMMIT DROP AS
SELECT q.row, q.source_id, q.unit, q.unit_kind, q.system, q.site, q.class, q.district, q.location_type, q.gb_id,
       q.protocol, q.host, q.port, q.path, q.mac, q.serial,
       coalesce(q.credential_ref, CASE WHEN q.same_address THEN q.old_credential_ref END) AS credential_ref,
       -- A duty binds the site; a rejected source says nothing about it.
       CASE WHEN q.lifecycle = 'rejected' THEN q.old_due_on ELSE q.due_on END AS due_on,
       CASE WHEN q.lifecycle = 'rejected' THEN q.old_basis ELSE q.basis END AS basis,
       q.attested OR (q.same_address AND q.confirmed_elsewhere) AS attested, q.lifecycle, q.lifecycle_reason
  FROM (
    SELECT r.row, c.source_id, r.unit, coalesce(r.unit_kind, c.unit_kind) AS unit_kind, r.system, r.site, r.class,
           r.district, coalesce(r.location_type, c.location_type) AS location_type, coalesce(r.gb_id, c.gb_id) AS gb_id,
           r.protocol, r.host, r.port, r.path, coalesce(r.mac, c.mac) AS mac, coalesce(r.serial, c.serial) AS serial,
           r.credential_ref, c.credential_ref AS old_credential_ref, r.due_on, c.due_on AS old_due_on, r.basis,
           c.basis AS old_basis, r.attested, c.confirmed_elsewhere,
           (r.protocol, r.host, r.port, r.path) IS NOT DISTINCT FROM (c.protocol, c.host, c.port, c.path) AS same_address,
           CASE WHEN r.rejected_by IS NOT NULL THEN 'rejected'
                WHEN c.lifecycle = 'rejected' AND r.location_type IS NOT NULL AND c.lifecycle_reason = ANY ($1::text[])
                THEN CASE WHEN c.has_connected THEN 'registered' ELSE 'required' END
                ELSE c.lifecycle END AS lifecycle,
           coalesce(r.rejected_by,
                    CASE WHEN c.lifecycle <> 'rejected' OR r.location_type IS NULL
                              OR NOT coalesce(c.lifecycle_reason = ANY ($1::text[]), false)
                         THEN c.lifecycle_reason END) AS lifecycle_reason
      FROM roll_stage r JOIN roll_current c ON c.row = r.row) q;

-- name: roll_changes
-- Matched rows that differ: before (b_) and after (a_), in the columns of the file.
SELECT b.row, b.source_id, b.unit AS b_unit, a.unit AS a_unit, b.unit_kind AS b_unit_kind, a.unit_kind AS a_unit_kind,
       b.system AS b_system, a.system AS a_system, b.site AS b_site, a.site AS a_site, b.class AS b_class,
       a.class AS a_class, b.location_type AS b_location_type, a.location_type AS a_location_type,
       b.district AS b_civil_code, a.district AS a_civil_code, b.gb_id AS b_gb_id, a.gb_id AS a_gb_id,
       b.host AS b_host, a.host AS a_host, b.port AS b_port, a.port AS a_port, b.path AS b_rtsp_path,
       a.path AS a_rtsp_path, b.mac AS b_mac, a.mac AS a_mac, b.serial AS b_serial, a.serial AS a_serial,
       b.credential_ref AS b_credential_ref, a.credential_ref AS a_credential_ref, b.due_on AS b_connect_due_date,
       a.due_on AS a_connect_due_date, b.basis AS b_basis, a.basis AS a_basis, b.attested AS b_address_attested,
       a.attested AS a_address_attested, b.lifecycle AS b_lifecycle, a.lifecycle AS a_lifecycle
  FROM roll_current b JOIN roll_wanted a ON a.row = b.row
 WHERE (b.unit, b.unit_kind, b.system, b.site, b.class, b.location_type, b.district, b.gb_id, b.protocol, b.host, b.port,
        b.path, b.mac, b.serial, b.credential_ref, b.due_on, b.basis, b.attested, b.lifecycle, b.lifecycle_reason)
       IS DISTINCT FROM
       (a.unit, a.unit_kind, a.system, a.site, a.class, a.location_type, a.district, a.gb_id, a.protocol, a.host, a.port,
        a.path, a.mac, a.serial, a.credential_ref, a.due_on, a.basis, a.attested, a.lifecycle, a.lifecycle_reason)
 ORDER BY b.row;

-- name: roll_added
-- Rows of the file that the catalog does not know.
SELECT row FROM roll_stage WHERE source_id IS NULL ORDER BY row;

-- name: roll_retired
-- Live sources that came from a roll, lie in the file's jurisdictions and stand in it no more.
-- $1: text[], LIKE patterns of the districts the file reaches
SELECT s.source_id, s.gb_id, t.name AS site, y.name AS system, u.name AS unit
  FROM source s
  JOIN site t ON t.site_id = s.site_id
  JOIN system y ON y.system_id = t.system_id
  JOIN unit u ON u.unit_id = y.unit_id
 WHERE s.lifecycle <> 'removed' AND s.district LIKE ANY ($1) AND (s.roll_key LIKE 'gb:%' OR s.roll_key LIKE 'row:%')
   AND NOT EXISTS (SELECT FROM roll_stage r WHERE r.source_id = s.source_id)
 ORDER BY s.district, s.source_id;

-- name: roll_live_count
-- How many live sources of the roll the file's jurisdictions have.
-- $1: text[], LIKE patterns of the districts the file reaches
SELECT count(*) FROM source
 WHERE lifecycle <> 'removed' AND district LIKE ANY ($1) AND (roll_key LIKE 'gb:%' OR roll_key LIKE 'row:%');

-- name: roll_touched_create
-- Sites and districts whose counts change; filled before and after the writes.
CREATE TEMP TABLE roll_touched (site_id bigint, district text) ON COMMIT DROP;

-- name: roll_touch_before
-- Where the sources stand that change or go.
-- $1: bigint[], the sources
INSERT INTO roll_touched SELECT DISTINCT site_id, district FROM source WHERE source_id = ANY ($1);

-- name: roll_write_jurisdictions
-- Districts that appear for the first time, under the law of the jurisdiction around them.
-- $1: text[], districts; $2: text[], names; $3: text[], profiles; $4: text[], base profiles
INSERT INTO jurisdiction (district, name, profile, base_profile)
SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[]) ON CONFLICT (district) DO NOTHING;

-- name: roll_retire
-- Withdrawn rows: retired, never deleted. Their keys and codes are free again.
-- $1: bigint[], the sources; $2: timestamptz, now
UPDATE source SET lifecycle = 'removed', lifecycle_reason = 'withdrawn_from_roll', retired_at = $2
 WHERE source_id = ANY ($1);

-- name: roll_write_units
-- Units by name; a blank kind changes nothing.
INSERT INTO unit AS u (name, kind)
SELECT unit, coalesce(max(unit_kind), 'organisation') FROM roll_stage GROUP BY unit ORDER BY min(row)
    ON CONFLICT (name) DO UPDATE SET kind = excluded.kind
 WHERE u.kind <> excluded.kind
   AND EXISTS (SELECT FROM roll_stage r WHERE r.unit = u.name AND r.unit_kind IS NOT NULL);

-- name: roll_write_systems
-- Systems by unit and name.
INSERT INTO system (unit_id, name)
SELECT u.unit_id, r.system FROM roll_stage r JOIN unit u ON u.name = r.unit
 GROUP BY u.unit_id, r.system ORDER BY min(r.row)
ON CONFLICT (unit_id, name) DO NOTHING;

-- name: roll_write_sites
-- Sites by system, name and class; a site may change its district.
-- $1: text, the gateway that observes new sites
INSERT INTO site AS t (district, system_id, gateway_id, name, class)
SELECT r.district, y.system_id, $1, r.site, r.class
  FROM roll_stage r JOIN unit u ON u.name = r.unit JOIN system y ON y.unit_id = u.unit_id AND y.name = r.system
 GROUP BY r.district, y.system_id, r.site, r.class ORDER BY min(r.row)
    ON CONFLICT (system_id, name, class) DO UPDATE SET district = excluded.district WHERE t.district <> excluded.district;

-- name: roll_stage_sites
-- Note each row's site.
UPDATE roll_stage r SET site_id = t.site_id
  FROM unit u JOIN system y ON y.unit_id = u.unit_id JOIN site t ON t.system_id = y.system_id
 WHERE u.name = r.unit AND y.name = r.system AND t.name = r.site AND t.class = r.class;

-- name: roll_write_credentials
-- Names of credentials; the credential itself is typed in later, never in a roll.
INSERT INTO credential (ref) SELECT DISTINCT credential_ref FROM roll_stage WHERE credential_ref IS NOT NULL
ON CONFLICT (ref) DO NOTHING;

-- name: roll_update_sources
-- Bring matched sources up to the roll.
UPDATE source s
   SET district = r.district, site_id = r.site_id, roll_key = r.key, gb_id = w.gb_id, location_type = w.location_type,
       mac = w.mac, serial = w.serial, lifecycle = w.lifecycle, lifecycle_reason = w.lifecycle_reason
  FROM roll_stage r JOIN roll_wanted w ON w.row = r.row
 WHERE s.source_id = r.source_id
   AND (s.district, s.site_id, s.roll_key, s.gb_id, s.location_type, s.mac, s.serial, s.lifecycle, s.lifecycle_reason)
       IS DISTINCT FROM
       (r.district, r.site_id, r.key, w.gb_id, w.location_type, w.mac, w.serial, w.lifecycle, w.lifecycle_reason);

-- name: roll_insert_sources
-- New sources; a code that was used by a removed source makes a new one.
-- $1: timestamptz, now
INSERT INTO source (district, site_id, roll_key, gb_id, location_type, mac, serial, lifecycle, lifecycle_reason, created_at)
SELECT district, site_id, key, gb_id, location_type, mac, serial,
       CASE WHEN rejected_by IS NULL THEN 'required' ELSE 'rejected' END, rejected_by, $1
  FROM roll_stage WHERE source_id IS NULL ORDER BY row;

-- name: roll_stage_sources
-- Note the new sources' ids.
UPDATE roll_stage r SET source_id = s.source_id
  FROM source s WHERE r.source_id IS NULL AND s.roll_key = r.key AND s.lifecycle <> 'removed';

-- name: roll_delete_endpoints
-- Addresses that an earlier roll gave and this one does not.
DELETE FROM endpoint e USING roll_stage r
 WHERE e.source_id = r.source_id AND e.origin = 'roll'
   AND (e.protocol, e.host, e.port, e.path) IS DISTINCT FROM (r.protocol, r.host, r.port, r.path);

-- name: roll_write_endpoints
-- Addresses of the roll. An attested one is the operator's confirmation; an attestation taken back withdraws only
-- what a roll confirmed, never what a person confirmed elsewhere.
-- $1: timestamptz, now; $2: text, who imports, beginning with 'roll:'
INSERT INTO endpoint AS e (source_id, protocol, host, port, path, credential_id, origin, confirmed_at, confirmed_by)
SELECT r.source_id, r.protocol, r.host, r.port, r.path, k.credential_id, 'roll',
       CASE WHEN r.attested THEN $1::timestamptz END, CASE WHEN r.attested THEN $2::text END
  FROM roll_stage r
  LEFT JOIN credential k ON k.ref = r.credential_ref
 WHERE r.host IS NOT NULL
   AND NOT EXISTS (SELECT FROM endpoint o
                    WHERE o.source_id = r.source_id AND o.origin = 'roll' AND o.protocol = r.protocol
                      AND o.host = r.host AND o.port = r.port AND o.path = r.path
                      AND (k.credential_id IS NULL OR o.credential_id IS NOT DISTINCT FROM k.credential_id)
                      AND (o.confirmed_at IS NOT NULL)
                          = (r.attested OR coalesce(o.confirmed_by NOT LIKE 'roll:%', false)))
    ON CONFLICT (source_id, protocol, host, port, path) DO UPDATE
   SET origin = 'roll', credential_id = coalesce(excluded.credential_id, e.credential_id),
       -- The refusals of another credential are forgotten.
       refusals = CASE WHEN excluded.credential_id IS DISTINCT FROM e.credential_id AND excluded.credential_id IS NOT NULL
                       THEN 0 ELSE e.refusals END,
       refused_at = CASE WHEN excluded.credential_id IS DISTINCT FROM e.credential_id AND excluded.credential_id IS NOT NULL
                         THEN NULL ELSE e.refused_at END,
       refused_credential_version = CASE WHEN excluded.credential_id IS DISTINCT FROM e.credential_id
                                              AND excluded.credential_id IS NOT NULL
                                         THEN NULL ELSE e.refused_credential_version END,
       confirmed_at = CASE WHEN excluded.confirmed_at IS NULL AND e.confirmed_by LIKE 'roll:%' THEN NULL
                           ELSE coalesce(e.confirmed_at, excluded.confirmed_at) END,
       confirmed_by = CASE WHEN excluded.confirmed_at IS NULL AND e.confirmed_by LIKE 'roll:%' THEN NULL
                           ELSE coalesce(e.confirmed_by, excluded.confirmed_by) END;

-- name: roll_withdraw_duties
-- Duties that the roll changes or no longer states; the old row stays as history, a changed one is written anew.
-- $1: text[], LIKE patterns of the districts the file reaches; $2: date, today
UPDATE duty d SET withdrawn_on = greatest($2::date, d.effective_from)
  FROM site t
 WHERE t.site_id = d.site_id AND d.withdrawn_on IS NULL
   AND (t.district LIKE ANY ($1) OR EXISTS (SELECT FROM roll_stage r WHERE r.site_id = t.site_id))
   AND NOT EXISTS (SELECT FROM roll_stage r JOIN source s ON s.source_id = r.source_id
                    WHERE r.site_id = t.site_id AND s.lifecycle <> 'rejected' AND r.due_on = d.due_on AND r.basis = d.basis);

-- name: roll_write_duties
-- One duty a site: where a row with a duty stands that is not rejected.
-- $1: date, today
INSERT INTO duty (site_id, effective_from, due_on, basis)
SELECT DISTINCT r.site_id, $1::date, r.due_on, r.basis
  FROM roll_stage r JOIN source s ON s.source_id = r.source_id
 WHERE r.basis IS NOT NULL AND s.lifecycle <> 'rejected'
   AND NOT EXISTS (SELECT FROM duty d WHERE d.site_id = r.site_id AND d.withdrawn_on IS NULL)
 ORDER BY r.site_id;

-- name: roll_touch_after
-- Where new and changed sources stand now; a changed duty is a change of its rows.
-- $1: int[], rows of new and changed sources
INSERT INTO roll_touched
SELECT DISTINCT r.site_id, r.district FROM roll_stage r WHERE r.row = ANY ($1);

-- name: roll_lock_connectivity
-- Let no status change fall between the counting and the commit; readers go on.
LOCK TABLE connectivity IN SHARE ROW EXCLUSIVE MODE;

-- name: roll_write_connectivity
-- New sources begin as never connected; moved ones follow their site; only what is required or registered counts.
-- $1: timestamptz, now; $2: bigint[], retired sources
INSERT INTO connectivity AS c (source_id, district, site_id, since, counted)
SELECT s.source_id, s.district, s.site_id, $1, s.lifecycle NOT IN ('removed', 'rejected')
  FROM source s
 WHERE s.source_id IN (SELECT source_id FROM roll_stage UNION ALL SELECT unnest($2::bigint[]))
    ON CONFLICT (source_id) DO UPDATE
   SET district = excluded.district, site_id = excluded.site_id, counted = excluded.counted
 WHERE (c.district, c.site_id, c.counted) IS DISTINCT FROM (excluded.district, excluded.site_id, excluded.counted);

-- name: roll_move_rollups
-- Sites that changed their district take their counts along.
UPDATE site_rollup x SET district = t.district
  FROM site t WHERE t.site_id = x.site_id AND t.district <> x.district
   AND t.site_id IN (SELECT site_id FROM roll_touched);

-- name: roll_recount_sites
-- Count the touched sites, and the districts they lie in, anew.
SELECT recount_rollups(ARRAY(SELECT DISTINCT site_id FROM roll_touched));

-- name: roll_recount_districts
-- Count the districts anew that a site left.
SELECT recount_districts(ARRAY(SELECT DISTINCT district FROM roll_touched));
