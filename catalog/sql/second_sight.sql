-- What a gateway sees of the sources of others (catalog/second_sight.py).

-- name: second_sight_begin
-- End what went on when the gateway was last there: at its last word, and nothing of what began after that. $1 gateway
WITH none AS (
  DELETE FROM second_sight x USING gateway g
   WHERE x.gateway_id = $1 AND g.gateway_id = $1 AND x.seen_until IS NULL
     AND (g.second_sight_until IS NULL OR g.second_sight_until <= x.seen_from))
UPDATE second_sight x SET seen_until = g.second_sight_until
  FROM gateway g
 WHERE x.gateway_id = $1 AND g.gateway_id = $1 AND x.seen_until IS NULL AND g.second_sight_until > x.seen_from;

-- name: second_sight_stale
-- What is said of a day that may be closed by now, an hour after its end, makes its site stale: turns on it, and all that
-- goes on where the last word is of such a day. $1 gateway, $2 sources, $3 instants, of equal length
WITH settled AS (SELECT local_midnight(local_day(now() - interval '1 h')) AS until)
INSERT INTO day_stale (site_id, from_day)
SELECT s.site_id, local_day(min(t.at))
  FROM (SELECT u.source_id, u.at FROM unnest($2::bigint[], $3::timestamptz[]) u(source_id, at), settled
         WHERE u.at < settled.until
        UNION ALL
        SELECT x.source_id, greatest(x.seen_from, g.second_sight_until)
          FROM settled
          JOIN gateway g ON g.gateway_id = $1 AND g.second_sight_until < settled.until
          JOIN second_sight x ON x.gateway_id = g.gateway_id AND x.seen_until IS NULL) t
  JOIN source s ON s.source_id = t.source_id
 GROUP BY s.site_id;

-- name: second_sight_open
-- A source began to answer. $1 gateway, $2 sources, $3 instants, of equal length
INSERT INTO second_sight (source_id, gateway_id, seen_from)
SELECT t.source_id, $1, t.seen_from
  FROM unnest($2::bigint[], $3::timestamptz[]) t(source_id, seen_from)
  JOIN source s ON s.source_id = t.source_id
ON CONFLICT DO NOTHING;

-- name: second_sight_close
-- A source answers no more. $1 gateway, $2 sources, $3 instants, of equal length
-- What was told to begin after that goes on.
UPDATE second_sight x SET seen_until = t.seen_until
  FROM unnest($2::bigint[], $3::timestamptz[]) t(source_id, seen_until)
 WHERE x.gateway_id = $1 AND x.source_id = t.source_id AND x.seen_until IS NULL AND x.seen_from < t.seen_until;

-- name: second_sight_advance
-- Say up to when the gateway had an eye on the sources of others. $1 gateway, $2 instant
UPDATE gateway SET second_sight_until = greatest(second_sight_until, $2) WHERE gateway_id = $1;

-- name: second_sight_of
-- Which of these sources another gateway sees now: of an offline one only what shows an answer since. $1 sources, $2 now,
-- $3 silence after which a gateway counts as blind, $4 silence after which it counts a source as gone
SELECT DISTINCT x.source_id
  FROM seen_elsewhere($2, $3) x
  JOIN connectivity c ON c.source_id = x.source_id
 WHERE x.source_id = ANY ($1::bigint[])
   AND (c.state <> 'offline' OR x.seen_from > c.since OR c.since < $2 - $4::interval);
