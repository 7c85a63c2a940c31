-- Closing days and reading them (catalog/day_closing.py, catalog/day_rates.py).

-- name: day_closing_turn
-- One closes at a time; whoever comes second is refused at once.
LOCK TABLE closed_day IN SHARE UPDATE EXCLUSIVE MODE NOWAIT;

-- name: day_closing_memory
-- A million rows are sorted and joined: 4 MB would spill them.
SELECT set_config('work_mem', '64MB', true);

-- name: day_first
-- The first local day of which there is anything to close; null without a source.
SELECT local_day(min(created_at)) FROM source;

-- name: closed_days
-- The days that are closed, the newest first.
SELECT day, until, is_over, maintenance_cap, sources, closed_at FROM closed_day ORDER BY day DESC;

-- name: day_duties
-- Each site with a duty that it was ever bound by. $1 sites, or null for all
SELECT t.site_id, t.district, y.effective_from, y.due_on, y.withdrawn_on
  FROM duty y JOIN site t ON y.site_id = t.site_id
 WHERE $1::bigint[] IS NULL OR t.site_id = ANY ($1)
UNION ALL
SELECT t.site_id, t.district, y.effective_from, y.due_on, y.withdrawn_on
  FROM duty y JOIN site t ON y.system_id = t.system_id
 WHERE $1::bigint[] IS NULL OR t.site_id = ANY ($1);

-- name: day_eventful
-- Sources of a day that are told one by one: something was laid over the day, or over the day before while they were
-- offline as the day began; they came or went within the day; late evidence, or another gateway while they were offline,
-- tells of it; or their site is one of $6.
-- $1, $2 start and end of the day, $3 start of the day before, $4 now, $5 silence after which a gateway counts as
-- blind, $6 sites
WITH laid AS (
  SELECT source_id, ended_at FROM overlay_interval
   WHERE kind = 'unknown' AND source_id IS NOT NULL AND ended_at > $3 AND started_at < $2
  UNION ALL
  SELECT source_id, 'infinity' FROM connectivity WHERE unknown_since < $2
  UNION ALL
  SELECT s.source_id, w.ends_at
    FROM suspensions_in_force($3, $2) w
    JOIN source s ON s.site_id = w.site_id AND (w.source_id IS NULL OR w.source_id = s.source_id)
   WHERE w.ends_at > $3 AND w.starts_at < $2
  UNION ALL
  SELECT s.source_id, b.ended_at
    FROM (SELECT gateway_id, ended_at FROM overlay_interval
           WHERE kind = 'unknown' AND gateway_id IS NOT NULL AND ended_at > $3 AND started_at < $2
          UNION ALL
          SELECT gateway_id, 'infinity' FROM gateway_sight($4, $5) WHERE blind_since < $2) b
    JOIN site t ON t.gateway_id = b.gateway_id
    JOIN source s ON s.site_id = t.site_id),
offline AS (
  SELECT source_id, since FROM connectivity WHERE state = 'offline' AND since < $1
  UNION ALL
  SELECT source_id, started_at FROM connectivity_interval
   WHERE state = 'offline' AND started_at < $1 AND ended_at > $1),
eventful AS (
  SELECT source_id FROM laid WHERE ended_at > $1
  UNION
  SELECT source_id FROM laid JOIN offline USING (source_id)
  UNION
  SELECT source_id FROM source WHERE created_at > $1 OR retired_at < $2
  UNION
  SELECT d.source_id FROM dispute d JOIN dispute_answer a ON a.dispute_id = d.dispute_id AND a.is_upheld
   WHERE d.running_until >= $1 AND d.running_from < $2
  UNION
  SELECT x.source_id
    FROM second_sight x
   WHERE x.seen_from < $2 AND (x.seen_until IS NULL OR x.seen_until > $1)
     AND (EXISTS (SELECT FROM connectivity c WHERE c.source_id = x.source_id AND c.state = 'offline' AND c.since < $2)
          OR EXISTS (SELECT FROM connectivity_interval i
                      WHERE i.source_id = x.source_id AND i.state = 'offline' AND i.started_at < $2 AND i.ended_at > $1))
  UNION
  SELECT source_id FROM source WHERE site_id = ANY ($6::bigint[]))
SELECT s.source_id, s.site_id, o.since AS offline_since
  FROM eventful JOIN source s USING (source_id) LEFT JOIN offline o USING (source_id)
 WHERE s.lifecycle <> 'rejected' AND s.created_at < $2 AND (s.retired_at IS NULL OR s.retired_at > $1)
 ORDER BY o.since, s.source_id;

-- name: day_plain
-- All other sources of a day, summed up by site: of them only the measured states tell.
-- $1, $2 start and end of the day, $3 the eventful sources
SELECT s.site_id,
       count(*) FILTER (WHERE x.ended_at >= $2) AS sources,
       count(*) FILTER (WHERE x.ended_at >= $2 AND x.state = 'never_connected') AS never_connected,
       count(*) FILTER (WHERE x.ended_at >= $2 AND x.state = 'online') AS intact,
       count(*) FILTER (WHERE x.ended_at >= $2 AND x.state = 'degraded') AS degraded,
       count(*) FILTER (WHERE x.state = 'offline') AS outages,
       count(*) FILTER (WHERE x.state = 'offline' AND x.started_at < $1) AS carried,
       sum(x.lasted) FILTER (WHERE x.state = 'never_connected') AS never,
       sum(x.lasted) FILTER (WHERE x.state = 'online') AS online,
       sum(x.lasted) FILTER (WHERE x.state = 'degraded') AS impaired,
       sum(x.lasted) FILTER (WHERE x.state = 'offline') AS offline
  FROM (SELECT source_id, state, started_at, ended_at,
               extract(epoch FROM least(ended_at, $2) - greatest(started_at, $1))::float8 AS lasted
          FROM (SELECT source_id, state, started_at, ended_at FROM connectivity_interval
                 WHERE ended_at > $1 AND started_at < $2
                UNION ALL
                SELECT source_id, state, since, 'infinity' FROM connectivity WHERE since < $2) y) x
  JOIN source s ON s.source_id = x.source_id
  LEFT JOIN unnest($3::bigint[]) AS e(source_id) ON e.source_id = s.source_id
 WHERE e.source_id IS NULL AND s.lifecycle <> 'rejected' AND s.created_at <= $1
   AND (s.retired_at IS NULL OR s.retired_at >= $2)
 GROUP BY s.site_id;

-- name: day_forget
-- Forget what is kept of a day. $1 day
WITH a AS (DELETE FROM day_account WHERE day = $1 AND district IN (SELECT district FROM jurisdiction)),
     r AS (DELETE FROM day_return WHERE day = $1)
DELETE FROM day_total WHERE day = $1;

-- name: day_note
-- Say that a day is closed. $1 day, $2 until, $3 whether it is over, $4 cap, $5 sources, $6 now
INSERT INTO closed_day (day, until, is_over, maintenance_cap, sources, closed_at) VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (day) DO UPDATE
   SET until = excluded.until, is_over = excluded.is_over, maintenance_cap = excluded.maintenance_cap,
       sources = excluded.sources, closed_at = excluded.closed_at;

-- name: day_marks
-- What makes days stale that are over, the oldest mark first. $1 limit
SELECT stale_id, site_id, from_day FROM day_stale ORDER BY stale_id LIMIT $1;

-- name: day_forget_marks
-- Forget marks whose sites were told anew. $1 marks
DELETE FROM day_stale WHERE stale_id = ANY ($1::bigint[]);

-- name: day_sources_of_sites
-- All sources of some sites. $1 sites
SELECT source_id FROM source WHERE site_id = ANY ($1::bigint[]) AND lifecycle <> 'rejected' ORDER BY source_id;

-- name: day_forget_sites
-- Forget what is kept of some sites from a day on, and tell in which districts. $1 sites, $2 day
WITH r AS (DELETE FROM day_return WHERE site_id = ANY ($1::bigint[]) AND day >= $2)
DELETE FROM day_account WHERE site_id = ANY ($1::bigint[]) AND day >= $2 RETURNING district;

-- name: day_stage
-- Where the sites of a transaction's days are gathered.
CREATE TEMPORARY TABLE day_stage (LIKE day_account) ON COMMIT DROP;

-- name: day_unstage
-- Begin to gather anew.
DELETE FROM day_stage;

-- name: day_stage_kept
-- Gather what is kept of some districts from a day on. $1 districts, $2 day
INSERT INTO day_stage SELECT * FROM day_account WHERE district = ANY ($1::text[]) AND day >= $2;

-- name: day_keep
-- Keep what is gathered, a district's sites side by side: they are read together.
INSERT INTO day_account SELECT * FROM day_stage ORDER BY district, day, site_id;

-- name: day_forget_totals
-- Forget the totals of some districts from a day on, of the days that are over. $1 districts, $2 day
DELETE FROM day_total t USING closed_day c
 WHERE t.district = ANY ($1::text[]) AND t.day >= $2 AND c.day = t.day AND c.is_over;

-- name: day_sum_up
-- Sum what is gathered up by district, with and without the class.
INSERT INTO day_total (district, class, day,
                       sources, connected, hidden, online, intact, left_sources, left_connected, left_hidden,
                       left_online, left_intact, outages, carried, days, raw_days, bound, counted, running, whole,
                       offline, never, retroactive, over_cap, not_due, planned_maintenance, force_majeure,
                       municipal_works, ordered_by_authority, outside_operation, gateway_down, own_network_down,
                       database_away,
                       restart_grace, common_cause_suspected, no_samples)
SELECT g.district, coalesce(t.class, ''), g.day,
       sum(sources), sum(connected), sum(hidden), sum(online), sum(intact), sum(left_sources), sum(left_connected),
       sum(left_hidden), sum(left_online), sum(left_intact), sum(outages), sum(carried), sum(days), sum(raw_days),
       sum(bound), sum(counted), sum(running), sum(whole), sum(offline), sum(never), sum(retroactive), sum(over_cap),
       sum(not_due), sum(planned_maintenance), sum(force_majeure), sum(municipal_works), sum(ordered_by_authority), sum(outside_operation),
       sum(gateway_down), sum(own_network_down), sum(database_away), sum(restart_grace), sum(common_cause_suspected),
       sum(no_samples)
  FROM day_stage g JOIN site t ON t.site_id = g.site_id
 GROUP BY GROUPING SETS ((g.district, g.day, t.class), (g.district, g.day));

-- name: day_rates
-- The days of a region added up. $1, $2 region, $3, $4 first and last day, $5 by: district, class, unit or site.
-- What is told of the end is the last day's, with those who left before; the rest is told by day_returns.
WITH told AS (
  SELECT t.district AS key, t.* FROM day_total t
   WHERE $5 = 'district' AND t.class = '' AND t.district BETWEEN $1 AND $2 AND t.day BETWEEN $3 AND $4
  UNION ALL
  SELECT t.class, t.* FROM day_total t
   WHERE $5 = 'class' AND t.class <> '' AND t.district BETWEEN $1 AND $2 AND t.day BETWEEN $3 AND $4
  UNION ALL
  SELECT a.site_id::text, a.district, '', a.day, a.sources, a.connected, a.hidden, a.online, a.intact, a.left_sources, a.left_connected, a.left_hidden,
         a.left_online, a.left_intact, a.outages, a.carried, a.days, a.raw_days, a.bound, a.counted, a.running,
         a.whole, a.offline, a.never, a.retroactive, a.over_cap, a.not_due, a.planned_maintenance, a.force_majeure,
         a.municipal_works, a.ordered_by_authority, a.gateway_down, a.own_network_down, a.database_away,
         a.restart_grace, a.common_cause_suspected, a.no_samples, a.outside_operation
    FROM day_account a
   WHERE $5 = 'site' AND a.district BETWEEN $1 AND $2 AND a.day BETWEEN $3 AND $4
  UNION ALL
  SELECT u.name, a.district, '', a.day, a.sources, a.connected, a.hidden, a.online, a.intact, a.left_sources, a.left_connected, a.left_hidden,
         a.left_online, a.left_intact, a.outages, a.carried, a.days, a.raw_days, a.bound, a.counted, a.running,
         a.whole, a.offline, a.never, a.retroactive, a.over_cap, a.not_due, a.planned_maintenance, a.force_majeure,
         a.municipal_works, a.ordered_by_authority, a.gateway_down, a.own_network_down, a.database_away,
         a.restart_grace, a.common_cause_suspected, a.no_samples, a.outside_operation
    FROM day_account a
    JOIN site p ON p.site_id = a.site_id JOIN system y ON y.system_id = p.system_id JOIN unit u ON u.unit_id = y.unit_id
   WHERE $5 = 'unit' AND a.district BETWEEN $1 AND $2 AND a.day BETWEEN $3 AND $4)
SELECT key, CASE $5 WHEN 'site' THEN (SELECT p.name FROM site p WHERE p.site_id = key::bigint) ELSE '' END AS name,

       coalesce(sum(sources) FILTER (WHERE day = $4), 0) + coalesce(sum(left_sources) FILTER (WHERE day < $4), 0) AS sources,
       coalesce(sum(connected) FILTER (WHERE day = $4), 0) + coalesce(sum(left_connected) FILTER (WHERE day < $4), 0) AS connected,
       coalesce(sum(hidden) FILTER (WHERE day = $4), 0) + coalesce(sum(left_hidden) FILTER (WHERE day < $4), 0) AS hidden,
       coalesce(sum(online) FILTER (WHERE day = $4), 0) + coalesce(sum(left_online) FILTER (WHERE day < $4), 0) AS online,
       coalesce(sum(intact) FILTER (WHERE day = $4), 0) + coalesce(sum(left_intact) FILTER (WHERE day < $4), 0) AS intact,
       coalesce(sum(outages), 0) - coalesce(sum(carried) FILTER (WHERE day > $3), 0) AS outages,
       coalesce(sum(days), 0) AS days, coalesce(sum(raw_days), 0) AS raw_days, coalesce(sum(bound), 0) AS bound,
       coalesce(sum(counted), 0) AS counted, coalesce(sum(running), 0) AS running, coalesce(sum(whole), 0) AS whole,
       coalesce(sum(offline), 0) AS offline, coalesce(sum(never), 0) AS never,
       coalesce(sum(retroactive), 0) AS retroactive, coalesce(sum(over_cap), 0) AS over_cap,
       coalesce(sum(not_due), 0) AS not_due, coalesce(sum(planned_maintenance), 0) AS planned_maintenance,
       coalesce(sum(force_majeure), 0) AS force_majeure, coalesce(sum(municipal_works), 0) AS municipal_works,
       coalesce(sum(ordered_by_authority), 0) AS ordered_by_authority,
       coalesce(sum(outside_operation), 0) AS outside_operation,
       coalesce(sum(gateway_down), 0) AS gateway_down, coalesce(sum(own_network_down), 0) AS own_network_down,
       coalesce(sum(database_away), 0) AS database_away, coalesce(sum(restart_grace), 0) AS restart_grace,
       coalesce(sum(common_cause_suspected), 0) AS common_cause_suspected, coalesce(sum(no_samples), 0) AS no_samples
  FROM told GROUP BY key;

-- name: day_returns
-- What days of a period tell again that an earlier day of it, not the one before, told already. Parameters as above.
SELECT CASE $5 WHEN 'district' THEN r.district WHEN 'class' THEN p.class WHEN 'unit' THEN u.name
               ELSE r.site_id::text END AS key,
       CASE $5 WHEN 'site' THEN p.name ELSE '' END AS name,
       sum(r.outages) AS outages, sum(r.sources) AS sources, sum(r.connected) AS connected, sum(r.hidden) AS hidden,
       sum(r.online) AS online, sum(r.intact) AS intact
  FROM day_return r
  JOIN site p ON p.site_id = r.site_id JOIN system y ON y.system_id = p.system_id JOIN unit u ON u.unit_id = y.unit_id
 WHERE r.district BETWEEN $1 AND $2 AND r.day > $3 AND r.day <= $4 AND r.back_on >= $3
 GROUP BY 1, 2;

-- name: day_stale_sites
-- How many sites of a region wait to be told anew of a day up to $3, as far as the first 1,000 marks tell.
-- $1, $2 region
SELECT count(DISTINCT site_id)
  FROM (SELECT s.site_id FROM day_stale s JOIN site t ON t.site_id = s.site_id
         WHERE t.district BETWEEN $1 AND $2 AND s.from_day <= $3 LIMIT 1000) m;
