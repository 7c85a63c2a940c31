-- What units object to, and what is answered (catalog/disputes.py).

-- name: dispute_raise
-- Enter an objection. $1 source, $2, $3 first and last day, $4 whose, $5 text, $6 document, $7, $8 when it was running or
-- null, $9 now, $10 person
INSERT INTO dispute (source_id, first_day, last_day, raised_by, text, document, running_from, running_until, raised_at,
                     entered_by)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) RETURNING dispute_id;

-- name: dispute_settle
-- Answer an objection that is not answered yet. $1 dispute, $2 whether it is upheld, $3 text, $4 now, $5 person
INSERT INTO dispute_answer (dispute_id, is_upheld, text, answered_at, answered_by) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT DO NOTHING;

-- name: dispute_list
-- Objections, the newest first. $1, $2 region, $3 cursor (dispute) or null, $4 limit, $5 true: only those not answered,
-- $6 one source or null, $7 one dispute or null, $8, $9 only those that hold one of these days, or null
SELECT d.dispute_id, d.source_id, s.gb_id, t.name AS site, u.name AS unit, d.first_day, d.last_day, d.raised_by, d.text,
       d.document, d.running_from, d.running_until, d.raised_at, d.entered_by, a.is_upheld, a.text AS answer, a.answered_at, a.answered_by
  FROM dispute d
  JOIN source s ON s.source_id = d.source_id
  JOIN site t ON t.site_id = s.site_id
  JOIN system y ON y.system_id = t.system_id
  JOIN unit u ON u.unit_id = y.unit_id
  LEFT JOIN dispute_answer a ON a.dispute_id = d.dispute_id
 WHERE s.district BETWEEN $1 AND $2 AND ($3::bigint IS NULL OR d.dispute_id < $3)
   AND (NOT $5 OR a.dispute_id IS NULL)
   AND ($6::bigint IS NULL OR d.source_id = $6) AND ($7::bigint IS NULL OR d.dispute_id = $7)
   AND ($8::date IS NULL OR d.last_day >= $8) AND ($9::date IS NULL OR d.first_day <= $9)
 ORDER BY d.dispute_id DESC
 LIMIT $4;

-- name: dispute_open_of_site
-- The oldest objection about a source of a site that is not answered; null without one. $1 site
SELECT min(d.dispute_id) FROM dispute d JOIN source s ON s.source_id = d.source_id
 WHERE s.site_id = $1 AND NOT EXISTS (SELECT FROM dispute_answer a WHERE a.dispute_id = d.dispute_id);

-- name: dispute_district
-- In which district a source stands; null without one. $1 source
SELECT district FROM source WHERE source_id = $1;
