-- Cases of what must connect and never did (catalog/cases.py).

-- name: case_candidates
-- Sites whose duty is overdue and that have a required source that never connected and is not suspended, with all of
-- their required sources; sites with a case that has not ended are left out. Not to operate at this hour is no excuse for
-- never having connected.
-- $1, $2 the region's first and last code, $3 today (local day), $4 one site or null, $5 sites at most, the longest due
-- first, or null, $6 share of the required sources that must have connected, one at least (model/connected_when.py)
WITH open_case AS (
  SELECT c.site_id FROM compliance_case c
   WHERE NOT EXISTS (SELECT FROM case_step s WHERE s.case_id = c.case_id AND s.step IN ('withdraw', 'close'))),
due AS (
  SELECT DISTINCT ON (t.site_id) t.site_id, t.district, t.gateway_id, t.name AS site, t.class, u.name AS unit,
         y.name AS system, d.duty_id, d.effective_from, d.due_on, d.basis
    FROM duty d
    JOIN site t ON t.site_id = d.site_id OR t.system_id = d.system_id
    JOIN system y ON y.system_id = t.system_id
    JOIN unit u ON u.unit_id = y.unit_id
   WHERE d.withdrawn_on IS NULL AND d.effective_from <= $3 AND d.due_on < $3 AND t.district BETWEEN $1 AND $2
     AND ($4::bigint IS NULL OR t.site_id = $4)
     AND t.site_id NOT IN (SELECT site_id FROM open_case)
   ORDER BY t.site_id, d.due_on, d.duty_id),
picked AS (
  SELECT * FROM due
   WHERE EXISTS (SELECT FROM connectivity n JOIN source m USING (source_id)
                  WHERE n.site_id = due.site_id AND n.counted AND m.lifecycle = 'required'
                    AND n.state = 'never_connected'
                    AND coalesce(n.suspended_reason, 'outside_operation') = 'outside_operation')
     AND (SELECT count(n.first_connected_at) < greatest(1, ceil($6::numeric * count(*)))
            FROM connectivity n JOIN source m USING (source_id)
           WHERE n.site_id = due.site_id AND n.counted AND m.lifecycle = 'required')
   ORDER BY due_on, site_id LIMIT $5)
SELECT picked.*, s.source_id, s.gb_id, s.created_at, c.state, c.first_connected_at, c.seen_at, c.obstacle,
       c.suspended_reason
  FROM picked
  JOIN source s ON s.site_id = picked.site_id AND s.lifecycle = 'required'
  JOIN connectivity c ON c.source_id = s.source_id AND c.counted
 ORDER BY picked.due_on, picked.site_id, s.source_id;

-- name: case_site_lock
-- Let nobody else open a case of this site meanwhile, and return whether one has not ended. $1 site
WITH held AS (SELECT site_id FROM site WHERE site_id = $1 FOR NO KEY UPDATE)
SELECT EXISTS (
  SELECT FROM held JOIN compliance_case c USING (site_id)
   WHERE NOT EXISTS (SELECT FROM case_step s WHERE s.case_id = c.case_id AND s.step IN ('withdraw', 'close')));

-- name: case_open
-- Open a case; its number counts the district's cases of the year.
-- $1 district, $2 site, $3 duty, $4 instant, $5 local year, $6 evidence, $7 its hash
INSERT INTO compliance_case (number, district, site_id, duty_id, opened_at, evidence, evidence_sha256)
SELECT format('%s-%s-C%s', $1::text, $5::int, lpad((count(*) + 1)::text, 4, '0')), $1, $2, $3, $4, $6::jsonb, $7
  FROM compliance_case WHERE number LIKE $1::text || '-' || $5::int || '-C%'
RETURNING number;

-- name: case_district_lock
-- Number the cases of a district one after the other. $1 district
SELECT district FROM jurisdiction WHERE district = $1 FOR NO KEY UPDATE;

-- name: case_list
-- Cases, the newest first. $1, $2 the region's first and last code, $3 one number or null, $4 limit,
-- $5 those that have ended too, $6 only those before this case or null
SELECT c.case_id, c.number, c.district, c.site_id, c.opened_at, c.evidence, c.evidence_sha256, t.name AS site,
       u.name AS unit, d.due_on, d.basis
  FROM compliance_case c
  JOIN site t ON t.site_id = c.site_id
  JOIN system y ON y.system_id = t.system_id
  JOIN unit u ON u.unit_id = y.unit_id
  JOIN duty d ON d.duty_id = c.duty_id
 WHERE c.district BETWEEN $1 AND $2 AND ($3::text IS NULL OR c.number = $3)
   AND ($5 OR NOT EXISTS (SELECT FROM case_step s WHERE s.case_id = c.case_id AND s.step IN ('withdraw', 'close')))
   AND ($6::bigint IS NULL OR c.case_id < $6)
 ORDER BY c.case_id DESC LIMIT $4;

-- name: case_steps
-- What was done to these cases, in order. $1 cases
SELECT case_id, step, at, on_day, person, detail FROM case_step
 WHERE case_id = ANY ($1::bigint[]) ORDER BY case_id, position;

-- name: case_lock
-- Let one step at a time be taken. $1 number
SELECT case_id, site_id, evidence -> 'connected' ->> 'when' AS connected_when FROM compliance_case WHERE number = $1 FOR NO KEY UPDATE;

-- name: case_take
-- Take a step. $1 case, $2 position, $3 step, $4 instant, $5 local day, $6 person, $7 detail
INSERT INTO case_step (case_id, position, step, at, on_day, person, detail) VALUES ($1, $2, $3, $4, $5, $6, $7::jsonb);

-- name: case_connected_since
-- Since when enough of the required sources of a site have connected; null while they have not, and where it has none.
-- $1 site, $2 share of them, one at least
SELECT (array_agg(c.first_connected_at ORDER BY c.first_connected_at) FILTER (WHERE c.first_connected_at IS NOT NULL))
       [greatest(1, ceil($2::numeric * count(*)))::int]
  FROM connectivity c JOIN source s USING (source_id)
 WHERE c.site_id = $1 AND c.counted AND s.lifecycle = 'required';
