-- Closed days: accounts of whole local days, so that rates of a million sources are sums of a few thousand rows. And
-- roll-ups that tell the chain of counts and the longest due without looking at every site.

CREATE FUNCTION local_day(p_at timestamptz) RETURNS date LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
  SELECT (p_at AT TIME ZONE 'Asia/Shanghai')::date
$$;
COMMENT ON FUNCTION local_day(timestamptz) IS 'The local day of an instant.';

CREATE FUNCTION local_midnight(p_day date) RETURNS timestamptz LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
  SELECT p_day::timestamp AT TIME ZONE 'Asia/Shanghai'
$$;
COMMENT ON FUNCTION local_midnight(date) IS 'When a local day begins.';

CREATE TABLE closed_day (
  day           date PRIMARY KEY,
  until         timestamptz NOT NULL,
  is_over       boolean NOT NULL,
  maintenance_cap interval,
  sources       int NOT NULL,
  closed_at     timestamptz NOT NULL
);
COMMENT ON TABLE closed_day IS 'Which local days are counted, and up to when. Derived: all of it can be told again from the history.';
COMMENT ON COLUMN closed_day.is_over IS 'False for the day that goes on: its totals alone are kept, and told anew every few minutes.';
COMMENT ON COLUMN closed_day.maintenance_cap IS 'The rule it was counted by; null for no cap.';

CREATE TABLE day_account (
  district      text NOT NULL,
  day           date NOT NULL,
  site_id       bigint NOT NULL REFERENCES site,
  sources       int,
  connected     int,
  hidden        int,
  online        int,
  intact        int,
  left_sources  int,
  left_connected int,
  left_hidden   int,
  left_online   int,
  left_intact   int,
  outages       int,
  carried       int,
  days          int,
  raw_days      numeric,
  bound         bigint,
  counted       bigint,
  running       bigint,
  whole         bigint,
  offline       bigint,
  never         bigint,
  retroactive   bigint,
  over_cap      bigint,
  not_due       bigint,
  planned_maintenance bigint,
  force_majeure bigint,
  municipal_works bigint,
  ordered_by_authority bigint,
  gateway_down  bigint,
  own_network_down bigint,
  database_away bigint,
  restart_grace bigint,
  common_cause_suspected bigint,
  no_samples    bigint,
  PRIMARY KEY (district, day, site_id)
);
CREATE INDEX day_account_by_site ON day_account (site_id, day);
COMMENT ON TABLE day_account IS 'The account of one site and local day: counts at its end, and times in microseconds. Null is none, as most are.';
COMMENT ON COLUMN day_account.left_sources IS 'Of sources those that no duty binds any more as the next day begins; the other left_ columns tell how these stood.';
COMMENT ON COLUMN day_account.outages IS 'Times of being offline with a part of the day that counts.';
COMMENT ON COLUMN day_account.carried IS 'Those of them that the day before had counted already.';
COMMENT ON COLUMN day_account.raw_days IS 'Sum over its sources of the share of the day that was online or degraded and seen.';
COMMENT ON COLUMN day_account.not_due IS 'This and the following: time that does not count, by reason.';

CREATE TABLE day_total (
  district      text NOT NULL,
  class         text NOT NULL,
  day           date NOT NULL,
  sources       int,
  connected     int,
  hidden        int,
  online        int,
  intact        int,
  left_sources  int,
  left_connected int,
  left_hidden   int,
  left_online   int,
  left_intact   int,
  outages       int,
  carried       int,
  days          int,
  raw_days      numeric,
  bound         bigint,
  counted       bigint,
  running       bigint,
  whole         bigint,
  offline       bigint,
  never         bigint,
  retroactive   bigint,
  over_cap      bigint,
  not_due       bigint,
  planned_maintenance bigint,
  force_majeure bigint,
  municipal_works bigint,
  ordered_by_authority bigint,
  gateway_down  bigint,
  own_network_down bigint,
  database_away bigint,
  restart_grace bigint,
  common_cause_suspected bigint,
  no_samples    bigint,
  PRIMARY KEY (class, district, day)
);
COMMENT ON TABLE day_total IS 'The sum of the sites of a district and class; the class '''' is all of them together.';

CREATE TABLE day_return (
  site_id       bigint NOT NULL REFERENCES site,
  day           date NOT NULL,
  back_on       date NOT NULL,
  district      text NOT NULL,
  outages       int NOT NULL DEFAULT 0,
  sources       int NOT NULL DEFAULT 0,
  connected     int NOT NULL DEFAULT 0,
  hidden        int NOT NULL DEFAULT 0,
  online        int NOT NULL DEFAULT 0,
  intact        int NOT NULL DEFAULT 0,
  PRIMARY KEY (site_id, day, back_on)
);
CREATE INDEX day_return_by_day ON day_return (day);
COMMENT ON TABLE day_return IS 'What of a day was told of already by an earlier one that is not the day before: a period that holds both tells it once.';
COMMENT ON COLUMN day_return.back_on IS 'The earlier day: the last on which an outage counted, or a duty bound a source.';

CREATE TABLE day_stale (
  stale_id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  site_id       bigint NOT NULL REFERENCES site,
  from_day      date NOT NULL
);
COMMENT ON TABLE day_stale IS 'Sites of which something was learned, or decided, about a day that is over. Emptied by whoever counts them anew.';

ALTER TABLE site_rollup ADD COLUMN gateway_id text REFERENCES gateway;
ALTER TABLE site_rollup ADD COLUMN bound_from date NOT NULL DEFAULT 'infinity';
ALTER TABLE site_rollup ADD COLUMN n_unconnected int NOT NULL DEFAULT 0;
UPDATE site_rollup r SET gateway_id = t.gateway_id FROM site t WHERE t.site_id = r.site_id;
ALTER TABLE site_rollup ALTER COLUMN gateway_id SET NOT NULL;
ALTER TABLE site_rollup DROP CONSTRAINT site_rollup_check1;
ALTER TABLE site_rollup ADD CONSTRAINT site_rollup_check1
  CHECK (least(n_never, n_online, n_degraded, n_offline, n_unknown, n_suspended, n_unconnected) >= 0);
DROP INDEX site_rollup_never;
CREATE INDEX site_rollup_due ON site_rollup (due_on, site_id) WHERE n_unconnected > 0;
CREATE INDEX site_rollup_due_of_district ON site_rollup (district, due_on, site_id) WHERE n_unconnected > 0;
COMMENT ON COLUMN site_rollup.bound_from IS 'The first day of the duties that stand; infinity without one.';
COMMENT ON COLUMN site_rollup.due_on IS 'The first due day of the duties that stand; null without one.';
COMMENT ON COLUMN site_rollup.n_unconnected IS 'Sources that never connected, whatever is displayed of them.';

DROP TABLE district_rollup;
CREATE TABLE district_rollup (
  district      text NOT NULL REFERENCES jurisdiction,
  gateway_id    text NOT NULL REFERENCES gateway,
  bound_from    date NOT NULL,
  n_must        int NOT NULL DEFAULT 0,
  n_never       int NOT NULL DEFAULT 0,
  n_online      int NOT NULL DEFAULT 0,
  n_degraded    int NOT NULL DEFAULT 0,
  n_offline     int NOT NULL DEFAULT 0,
  n_unknown     int NOT NULL DEFAULT 0,
  n_suspended   int NOT NULL DEFAULT 0,
  n_unconnected int NOT NULL DEFAULT 0,
  PRIMARY KEY (district, gateway_id, bound_from),
  CHECK (n_must = n_never + n_online + n_degraded + n_offline + n_unknown + n_suspended)
) WITH (fillfactor = 70);
COMMENT ON TABLE district_rollup IS 'The same counts per district, gateway and first day of a duty: what a blind gateway hides and what is bound by now is told apart in a few rows.';

CREATE INDEX connectivity_offline_since ON connectivity (since, source_id) WHERE state = 'offline' AND counted;
CREATE INDEX overlay_by_end ON overlay_interval USING brin (ended_at) WITH (pages_per_range = 32);

CREATE OR REPLACE FUNCTION apply_changes(
  p_gateway text, p_epoch bigint, p_source bigint[], p_state text[], p_since timestamptz[], p_reasons text[],
  p_last_positive timestamptz[], p_unknown text[], p_unknown_at timestamptz[],
  p_suspended text[], p_suspended_at timestamptz[], p_flapping boolean[]
) RETURNS bigint LANGUAGE sql AS $$
  WITH fence AS (
    SELECT 1 FROM gateway WHERE gateway_id = p_gateway AND epoch = p_epoch FOR SHARE),
  inp AS (
    SELECT * FROM unnest(p_source, p_state, p_since, p_reasons, p_last_positive, p_unknown, p_unknown_at,
                         p_suspended, p_suspended_at, p_flapping)
      AS t(source_id, state, since, reasons, last_positive_at, unknown, unknown_at, suspended, suspended_at, flapping)),
  old AS MATERIALIZED (
    SELECT c.source_id, c.site_id, c.district, c.counted, c.state AS old_state, c.since AS old_since,
           c.reasons AS old_reasons, c.last_positive_at AS old_last_positive, c.unknown_reason AS old_unknown,
           c.unknown_since AS old_unknown_since, c.suspended_reason AS old_suspended,
           c.suspended_since AS old_suspended_since,
           i.state, i.since, string_to_array(nullif(i.reasons, ''), ',') AS reasons, i.last_positive_at,
           i.unknown, i.unknown_at, i.suspended, i.suspended_at, i.flapping
      FROM connectivity c JOIN inp i USING (source_id)
     WHERE EXISTS (SELECT FROM fence) AND (i.state = c.state OR i.since > c.since)
     ORDER BY c.source_id FOR UPDATE OF c),
  upd AS (
    UPDATE connectivity c
       SET state = o.state,
           since = CASE WHEN o.state = o.old_state THEN c.since ELSE o.since END,
           reasons = coalesce(o.reasons, '{}'),
           first_connected_at = CASE WHEN o.old_state = 'never_connected' AND o.state <> 'never_connected'
                                     THEN o.since ELSE c.first_connected_at END,
           last_positive_at = coalesce(o.last_positive_at, c.last_positive_at),
           unknown_reason = o.unknown,
           unknown_since = CASE WHEN o.unknown IS NOT DISTINCT FROM o.old_unknown THEN c.unknown_since
                                WHEN o.unknown IS NULL THEN NULL ELSE o.unknown_at END,
           suspended_reason = o.suspended,
           suspended_since = CASE WHEN o.suspended IS NOT DISTINCT FROM o.old_suspended THEN c.suspended_since
                                  WHEN o.suspended IS NULL THEN NULL ELSE o.suspended_at END,
           flapping = o.flapping,
           obstacle = CASE WHEN o.state <> 'never_connected' AND o.old_state = 'never_connected'
                           THEN NULL ELSE c.obstacle END
      FROM old o WHERE c.source_id = o.source_id),
  his AS (
    INSERT INTO connectivity_interval (source_id, district, state, reasons, started_at, ended_at, last_positive_at)
    SELECT source_id, district, old_state, old_reasons, old_since, since, coalesce(last_positive_at, old_last_positive)
      FROM old WHERE old_state <> state),
  unk AS (
    INSERT INTO overlay_interval (source_id, kind, reason, started_at, ended_at)
    SELECT source_id, 'unknown', old_unknown, old_unknown_since, unknown_at
      FROM old WHERE old_unknown IS NOT NULL AND unknown IS DISTINCT FROM old_unknown AND unknown_at > old_unknown_since),
  sus AS (
    INSERT INTO overlay_interval (source_id, kind, reason, started_at, ended_at)
    SELECT source_id, 'suspended', old_suspended, old_suspended_since, suspended_at
      FROM old WHERE old_suspended IS NOT NULL AND suspended IS DISTINCT FROM old_suspended
                 AND suspended_at > old_suspended_since),
  shown AS (
    SELECT source_id, site_id, district, since, old_since, old_state, state,
           (state = 'never_connected')::int - (old_state = 'never_connected')::int AS unconnected,
           displayed_state(old_state, old_unknown, old_suspended) AS was,
           displayed_state(state, unknown, suspended) AS now
      FROM old WHERE counted),
  delta AS (
    SELECT site_id, district,
           sum((now = 'never_connected')::int - (was = 'never_connected')::int) AS never,
           sum((now = 'online')::int - (was = 'online')::int) AS online,
           sum((now = 'degraded')::int - (was = 'degraded')::int) AS degraded,
           sum((now = 'offline')::int - (was = 'offline')::int) AS offline,
           sum((now = 'unknown')::int - (was = 'unknown')::int) AS unknown,
           sum((now = 'suspended')::int - (was = 'suspended')::int) AS suspended,
           sum(unconnected) AS unconnected,
           min(since) FILTER (WHERE old_state = 'never_connected' AND state <> 'never_connected') AS first_at,
           max(CASE WHEN state = old_state THEN old_since ELSE since END) FILTER (WHERE now = 'offline') AS offline_at,
           coalesce(array_agg(source_id) FILTER (WHERE old_state = 'offline'), '{}') AS were_offline
      FROM shown GROUP BY site_id, district),
  rolled AS (
    UPDATE site_rollup r
       SET n_never = n_never + d.never, n_online = n_online + d.online, n_degraded = n_degraded + d.degraded,
           n_offline = n_offline + d.offline, n_unknown = n_unknown + d.unknown, n_suspended = n_suspended + d.suspended,
           n_unconnected = n_unconnected + d.unconnected,
           first_connected_at = least(r.first_connected_at, d.first_at),
           offline_since =
             CASE WHEN n_online + d.online = 0 AND n_degraded + d.degraded = 0 AND n_unknown + d.unknown = 0
                       AND n_offline + d.offline > 0
                  THEN greatest(d.offline_at,
                                -- Of the site's own sources. OFFSET 0: else the planner takes the newest of all that are
                                -- offline, one after the other, until one is of this site.
                                (SELECT max(c.since)
                                   FROM (SELECT source_id, since, counted, state, suspended_reason
                                           FROM connectivity WHERE site_id = d.site_id OFFSET 0) c
                                  WHERE c.counted AND c.state = 'offline' AND c.suspended_reason IS NULL
                                    -- Those of this call are told by offline_at, if they still are.
                                    AND c.source_id <> ALL (d.were_offline))) END
      FROM delta d WHERE d.site_id = r.site_id
    RETURNING r.district, r.gateway_id, r.bound_from, d.never, d.online, d.degraded, d.offline, d.unknown, d.suspended,
              d.unconnected),
  by_district AS (
    -- An upsert, for it alone sees a row that a recount committed since this statement began.
    INSERT INTO district_rollup AS x (district, gateway_id, bound_from, n_never, n_online, n_degraded, n_offline,
                                      n_unknown, n_suspended, n_unconnected)
    SELECT district, gateway_id, bound_from, sum(never), sum(online), sum(degraded), sum(offline), sum(unknown),
           sum(suspended), sum(unconnected)
      FROM rolled GROUP BY district, gateway_id, bound_from ORDER BY district, gateway_id, bound_from
    ON CONFLICT (district, gateway_id, bound_from) DO UPDATE
       SET n_never = x.n_never + excluded.n_never, n_online = x.n_online + excluded.n_online,
           n_degraded = x.n_degraded + excluded.n_degraded, n_offline = x.n_offline + excluded.n_offline,
           n_unknown = x.n_unknown + excluded.n_unknown, n_suspended = x.n_suspended + excluded.n_suspended,
           n_unconnected = x.n_unconnected + excluded.n_unconnected),
  late AS (
    INSERT INTO day_stale (site_id, from_day)
    SELECT site_id, local_day(min(at))
      FROM (SELECT site_id, least(CASE WHEN state <> old_state THEN since END,
                                  CASE WHEN unknown IS DISTINCT FROM old_unknown THEN unknown_at END) AS at FROM old) o
     WHERE at < local_midnight(local_day(now())) GROUP BY site_id)
  SELECT count(*) FROM old
$$;

CREATE FUNCTION recount_districts(p_districts text[]) RETURNS void LANGUAGE sql AS $$
  INSERT INTO district_rollup (district, gateway_id, bound_from, n_must, n_never, n_online, n_degraded, n_offline,
                               n_unknown, n_suspended, n_unconnected)
  SELECT district, gateway_id, bound_from, sum(n_must), sum(n_never), sum(n_online), sum(n_degraded), sum(n_offline),
         sum(n_unknown), sum(n_suspended), sum(n_unconnected)
    FROM site_rollup WHERE district = ANY (p_districts)
   GROUP BY district, gateway_id, bound_from ORDER BY district, gateway_id, bound_from
  ON CONFLICT (district, gateway_id, bound_from) DO UPDATE
     SET n_must = excluded.n_must, n_never = excluded.n_never, n_online = excluded.n_online,
         n_degraded = excluded.n_degraded, n_offline = excluded.n_offline, n_unknown = excluded.n_unknown,
         n_suspended = excluded.n_suspended, n_unconnected = excluded.n_unconnected;
  -- Kept at zero and not deleted: a change of status that waits for the row would find none.
  UPDATE district_rollup x
     SET n_must = 0, n_never = 0, n_online = 0, n_degraded = 0, n_offline = 0, n_unknown = 0, n_suspended = 0,
         n_unconnected = 0
   WHERE district = ANY (p_districts)
     AND NOT EXISTS (SELECT FROM site_rollup r
                      WHERE (r.district, r.gateway_id, r.bound_from) = (x.district, x.gateway_id, x.bound_from));
$$;
COMMENT ON FUNCTION recount_districts(text[]) IS 'Sums up the sites of the given districts anew.';

CREATE OR REPLACE FUNCTION recount_rollups(p_sites bigint[]) RETURNS void LANGUAGE sql AS $$
  -- Locked before they are counted: a change of status that is not committed yet adds its difference afterwards.
  SELECT FROM site_rollup WHERE site_id = ANY (p_sites) ORDER BY site_id FOR UPDATE;
  SELECT FROM district_rollup WHERE district IN (SELECT district FROM site WHERE site_id = ANY (p_sites))
    ORDER BY district, gateway_id, bound_from FOR UPDATE;
  INSERT INTO site_rollup (site_id, district, gateway_id, bound_from, due_on, n_must, n_never, n_online, n_degraded,
                           n_offline, n_unknown, n_suspended, n_unconnected, first_connected_at, offline_since)
  SELECT s.site_id, s.district, s.gateway_id, coalesce(min(d.bound_from), 'infinity'), min(d.due_on),
         count(shown), count(*) FILTER (WHERE shown = 'never_connected'), count(*) FILTER (WHERE shown = 'online'),
         count(*) FILTER (WHERE shown = 'degraded'), count(*) FILTER (WHERE shown = 'offline'),
         count(*) FILTER (WHERE shown = 'unknown'), count(*) FILTER (WHERE shown = 'suspended'),
         count(*) FILTER (WHERE state = 'never_connected'),
         min(first_connected_at),
         CASE WHEN count(*) FILTER (WHERE shown IN ('online', 'degraded', 'unknown')) = 0
              THEN max(since) FILTER (WHERE shown = 'offline') END
    FROM site s
    LEFT JOIN LATERAL (
      SELECT min(effective_from) AS bound_from, min(due_on) AS due_on FROM duty
       WHERE withdrawn_on IS NULL AND (duty.site_id = s.site_id OR duty.system_id = s.system_id)) d ON true
    LEFT JOIN LATERAL (
      SELECT displayed_state(state, unknown_reason, suspended_reason) AS shown, state, first_connected_at, since
        FROM connectivity c WHERE c.site_id = s.site_id AND c.counted) c ON true
   WHERE s.site_id = ANY (p_sites)
   GROUP BY s.site_id, s.district, s.gateway_id
  ON CONFLICT (site_id) DO UPDATE
     SET district = excluded.district, gateway_id = excluded.gateway_id, bound_from = excluded.bound_from,
         due_on = excluded.due_on, n_must = excluded.n_must, n_never = excluded.n_never, n_online = excluded.n_online,
         n_degraded = excluded.n_degraded, n_offline = excluded.n_offline, n_unknown = excluded.n_unknown,
         n_suspended = excluded.n_suspended, n_unconnected = excluded.n_unconnected,
         first_connected_at = excluded.first_connected_at, offline_since = excluded.offline_since;
  SELECT recount_districts(ARRAY(SELECT DISTINCT district FROM site WHERE site_id = ANY (p_sites)));
$$;

CREATE FUNCTION day_stale_by_gateway() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO day_stale (site_id, from_day)
  SELECT site_id, local_day(NEW.started_at) FROM site WHERE gateway_id = NEW.gateway_id;
  RETURN NULL;
END $$;
COMMENT ON FUNCTION day_stale_by_gateway() IS 'A gateway could not see, and that reaches back over a midnight.';
CREATE TRIGGER overlay_makes_stale AFTER INSERT OR UPDATE ON overlay_interval
  FOR EACH ROW WHEN (NEW.gateway_id IS NOT NULL AND NEW.started_at < local_midnight(local_day(now())))
  EXECUTE FUNCTION day_stale_by_gateway();

CREATE FUNCTION day_stale_by_suspension() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO day_stale (site_id, from_day)
  SELECT s.site_id, local_day(s.starts_at) FROM suspension s
   WHERE s.suspension_id = NEW.suspension_id AND s.starts_at < local_midnight(local_day(now()));
  RETURN NULL;
END $$;
COMMENT ON FUNCTION day_stale_by_suspension() IS 'A window that began before today was approved, withdrawn or ended.';
CREATE TRIGGER suspension_act_makes_stale AFTER INSERT ON suspension_act
  FOR EACH ROW EXECUTE FUNCTION day_stale_by_suspension();

CREATE FUNCTION day_stale_by_duty() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  bound_from date := NEW.effective_from;
BEGIN
  IF TG_OP = 'UPDATE' THEN
    bound_from := least(OLD.effective_from, NEW.effective_from);
  END IF;
  -- One day earlier, too: it tells whom a duty still binds as the next day begins.
  INSERT INTO day_stale (site_id, from_day)
  SELECT t.site_id, bound_from - 1 FROM site t
   WHERE bound_from <= local_day(now()) AND (t.site_id = NEW.site_id OR t.system_id = NEW.system_id)
     AND EXISTS (SELECT FROM source s
                  WHERE s.site_id = t.site_id AND s.created_at < local_midnight(local_day(now())));
  RETURN NULL;
END $$;
COMMENT ON FUNCTION day_stale_by_duty() IS 'A duty binds, or binds no more, on days that may be over.';
CREATE TRIGGER duty_makes_stale AFTER INSERT OR UPDATE ON duty
  FOR EACH ROW EXECUTE FUNCTION day_stale_by_duty();

CREATE FUNCTION day_stale_by_source() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO day_stale (site_id, from_day)
  SELECT DISTINCT site_id, local_day(OLD.created_at) FROM unnest(ARRAY[OLD.site_id, NEW.site_id]) AS t(site_id);
  RETURN NULL;
END $$;
COMMENT ON FUNCTION day_stale_by_source() IS 'A source moved, was rejected or accepted again, or was retired as of a day that is over.';
CREATE TRIGGER source_makes_stale AFTER UPDATE OF lifecycle, site_id, retired_at ON source
  FOR EACH ROW
  WHEN (OLD.created_at < local_midnight(local_day(now()))
        AND (OLD.site_id <> NEW.site_id OR (OLD.lifecycle = 'rejected') <> (NEW.lifecycle = 'rejected')
             OR least(OLD.retired_at, NEW.retired_at) < local_midnight(local_day(now()))))
  EXECUTE FUNCTION day_stale_by_source();

CREATE FUNCTION day_stale_by_site() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO day_stale (site_id, from_day)
  SELECT NEW.site_id, local_day(min(created_at)) FROM source WHERE site_id = NEW.site_id
  HAVING min(created_at) < local_midnight(local_day(now()));
  RETURN NULL;
END $$;
COMMENT ON FUNCTION day_stale_by_site() IS 'A site moved to another district, class, system or gateway.';
CREATE TRIGGER site_makes_stale AFTER UPDATE OF district, class, system_id, gateway_id ON site
  FOR EACH ROW
  WHEN ((OLD.district, OLD.class, OLD.system_id, OLD.gateway_id)
        IS DISTINCT FROM (NEW.district, NEW.class, NEW.system_id, NEW.gateway_id))
  EXECUTE FUNCTION day_stale_by_site();

SELECT recount_rollups(ARRAY(SELECT site_id FROM site));
