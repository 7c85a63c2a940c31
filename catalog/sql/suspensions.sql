-- Windows in which a site is not charged (catalog/suspensions.py).

-- name: suspension_add
-- Ask for a window. $1 site or null, $2 source or null (one of them), $3 reason, $4, $5 from and until, $6 document,
-- $7 instant, $8 person, $9, $10, $11 hours of rest and their weekdays, or nulls. Returns no row when there is no such
-- site or source.
INSERT INTO suspension (site_id, source_id, reason, starts_at, ends_at, document, requested_at, requested_by,
                        rest_begins, rest_ends, rest_weekdays)
SELECT t.site_id, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11
  FROM site t WHERE t.site_id = coalesce($1, (SELECT site_id FROM source WHERE source_id = $2))
RETURNING suspension_id;

-- name: suspension_lock
-- Let one act at a time be done. $1 suspension
SELECT suspension_id FROM suspension WHERE suspension_id = $1 FOR NO KEY UPDATE;

-- name: suspension_list
-- Suspensions, the newest first. $1 one of them or null, $2 only what ends after this instant or null, $3 limit
SELECT s.*, t.name AS site, u.name AS unit, c.gb_id
  FROM suspension s
  JOIN site t ON t.site_id = s.site_id
  JOIN system y ON y.system_id = t.system_id
  JOIN unit u ON u.unit_id = y.unit_id
  LEFT JOIN source c ON c.source_id = s.source_id
 WHERE ($1::bigint IS NULL OR s.suspension_id = $1) AND ($2::timestamptz IS NULL OR s.ends_at > $2)
 ORDER BY s.suspension_id DESC LIMIT $3;

-- name: suspension_acts
-- What was done to these suspensions, in order. $1 suspensions
SELECT suspension_id, act, at, person, text FROM suspension_act
 WHERE suspension_id = ANY ($1::bigint[]) ORDER BY suspension_id, position;

-- name: suspension_act_add
-- Do something to a suspension. $1 suspension, $2 position, $3 act, $4 instant, $5 person, $6 text
INSERT INTO suspension_act (suspension_id, position, act, at, person, text) VALUES ($1, $2, $3, $4, $5, $6);

-- name: suspensions_of_gateway
-- The windows in force of a gateway's sources that go on at $2, or ended within the $3 before. $1 gateway
SELECT c.source_id, w.reason, w.starts_at, w.ends_at
  FROM suspensions_in_force($2::timestamptz - $3::interval, $2) w
  JOIN site t ON t.site_id = w.site_id AND t.gateway_id = $1
  JOIN connectivity c ON c.site_id = t.site_id AND c.counted AND (w.source_id IS NULL OR w.source_id = c.source_id)
 WHERE w.starts_at <= $2 AND w.ends_at > $2 - $3::interval
 ORDER BY c.source_id, w.starts_at, w.suspension_id;
