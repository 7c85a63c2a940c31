-- The catalog of Muster: what must connect, what was seen of it, and its whole status history.
--
-- This file is the truth for a new database; the migrations are the way there, and a test proves both equal.
-- Words: unit, system, site, source, duty, endpoint, sighting, evidence, connectivity as in the README's glossary.
-- Times are timestamptz in UTC; dates are calendar days in Asia/Shanghai. States are text with a CHECK.
-- `district` is the six-digit administrative code (GB/T 2260) and leads the keys of everything read by region,
-- so that a million sources need no other shape. PostgreSQL >= 15.

CREATE TABLE schema_version (
  version       int PRIMARY KEY,
  name          text NOT NULL,
  applied_at    timestamptz NOT NULL DEFAULT now(),
  muster_version text NOT NULL
);
COMMENT ON TABLE schema_version IS 'One row per migration applied to this database.';

---------------------------------------------------------------------------------------------------------------
-- Who and where: the roll
---------------------------------------------------------------------------------------------------------------

CREATE TABLE jurisdiction (
  district      text PRIMARY KEY CHECK (district ~ '^[0-9]{6}$'),
  name          text NOT NULL,
  profile       text NOT NULL,
  base_profile  text
);
COMMENT ON TABLE jurisdiction IS 'A district and the legal profile that applies to what is installed there.';
COMMENT ON COLUMN jurisdiction.district IS 'Administrative code, six digits (GB/T 2260).';
COMMENT ON COLUMN jurisdiction.profile IS 'Name of the jurisdiction profile, e.g. the file name in catalog/profiles without .toml.';
COMMENT ON COLUMN jurisdiction.base_profile IS 'National profile laid under it; null when switched off.';

CREATE TABLE gateway (
  gateway_id     text PRIMARY KEY,
  epoch          bigint NOT NULL DEFAULT 0,
  started_at     timestamptz,
  observed_until timestamptz,
  second_sight_until timestamptz
);
COMMENT ON TABLE gateway IS 'A running Muster: the observer of the sites assigned to it.';
COMMENT ON COLUMN gateway.epoch IS 'Counts its starts; a writer with an older epoch is refused.';
COMMENT ON COLUMN gateway.second_sight_until IS 'Until this instant it had an eye on the sources of other gateways; null where it has none.';
COMMENT ON COLUMN gateway.observed_until IS 'Until this instant the gateway was able to see; a gap after it is unknown, charged to nobody.';

CREATE TABLE unit (
  unit_id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  name          text NOT NULL UNIQUE CHECK (name <> ''),
  kind          text NOT NULL DEFAULT 'organisation' CHECK (kind IN ('organisation', 'natural_person'))
);
COMMENT ON TABLE unit IS 'Whom the roll names for a system. Who is responsible, and why, follows from attestations (WX-10, SX-9, CN-7).';
COMMENT ON COLUMN unit.kind IS 'A natural person is never named to the public.';

CREATE TABLE system (
  system_id     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  unit_id       bigint NOT NULL REFERENCES unit,
  name          text NOT NULL CHECK (name <> ''),
  UNIQUE (unit_id, name)
);
COMMENT ON TABLE system IS 'The legal object of the decrees: a public-security video system of one unit.';

CREATE TABLE site (
  site_id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  district      text NOT NULL REFERENCES jurisdiction,
  system_id     bigint NOT NULL REFERENCES system,
  gateway_id    text NOT NULL REFERENCES gateway,
  name          text NOT NULL CHECK (name <> ''),
  class         text NOT NULL,
  address       text,
  removal_approved_on date,
  UNIQUE (system_id, name, class)
);
CREATE INDEX site_by_district ON site (district, site_id);
COMMENT ON TABLE site IS 'A place of one class at which a system stands.';
COMMENT ON COLUMN site.class IS 'Place class of the profile, e.g. WX8_07.';
COMMENT ON COLUMN site.address IS 'Install position: confidential (WX-29.1).';
COMMENT ON COLUMN site.gateway_id IS 'The gateway that observes this site.';

CREATE TABLE duty (
  duty_id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  entry_id      uuid NOT NULL UNIQUE DEFAULT gen_random_uuid(),
  site_id       bigint REFERENCES site,
  system_id     bigint REFERENCES system,
  effective_from date NOT NULL,
  due_on        date NOT NULL,
  basis         text NOT NULL,
  withdrawn_on  date,
  CHECK (num_nonnulls(site_id, system_id) = 1),
  CHECK (withdrawn_on IS NULL OR withdrawn_on >= effective_from)
);
CREATE UNIQUE INDEX duty_of_site ON duty (site_id) WHERE site_id IS NOT NULL AND withdrawn_on IS NULL;
CREATE UNIQUE INDEX duty_of_system ON duty (system_id) WHERE system_id IS NOT NULL AND withdrawn_on IS NULL;
COMMENT ON TABLE duty IS 'Binds a system or a site to connect (WX-21): one row of the public catalog.';
COMMENT ON COLUMN duty.entry_id IS 'Opaque public number of the entry; embeds no code.';
COMMENT ON COLUMN duty.due_on IS 'Last day to connect in time; overdue from the day after.';
COMMENT ON COLUMN duty.basis IS 'Requirement id of the profile, e.g. WX-21.2.';

CREATE TABLE source (
  source_id     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  district      text NOT NULL REFERENCES jurisdiction,
  site_id       bigint NOT NULL REFERENCES site,
  roll_key      text NOT NULL,
  gb_id         text CHECK (gb_id ~ '^[0-9]{20}$'),
  name          text,
  location_type text,
  mac           text CHECK (mac ~ '^[0-9a-f]{2}(:[0-9a-f]{2}){5}$'),
  serial        text,
  lifecycle     text NOT NULL DEFAULT 'required'
                CHECK (lifecycle IN ('required', 'registered', 'removed', 'rejected')),
  lifecycle_reason text,
  audio_enabled boolean NOT NULL DEFAULT false,
  allow_basic   boolean NOT NULL DEFAULT false,
  relay_mode    text NOT NULL DEFAULT 'always' CHECK (relay_mode IN ('always', 'on_demand', 'off')),
  created_at    timestamptz NOT NULL DEFAULT now(),
  retired_at    timestamptz,
  CHECK ((lifecycle = 'removed') = (retired_at IS NOT NULL))
);
CREATE UNIQUE INDEX source_by_roll_key ON source (roll_key) WHERE lifecycle <> 'removed';
CREATE UNIQUE INDEX source_by_gb_id ON source (gb_id) WHERE gb_id IS NOT NULL AND lifecycle <> 'removed';
CREATE INDEX source_by_removed_gb_id ON source (gb_id) WHERE gb_id IS NOT NULL AND lifecycle = 'removed';
CREATE INDEX source_by_district ON source (district, source_id);
CREATE INDEX source_by_site ON source (site_id);
CREATE INDEX source_by_mac ON source (mac) WHERE mac IS NOT NULL;
CREATE INDEX source_by_serial ON source (serial) WHERE serial IS NOT NULL;
COMMENT ON TABLE source IS 'One video source (camera, channel) of the roll. Never deleted: retired with lifecycle removed.';
COMMENT ON COLUMN source.roll_key IS 'Identity of the row across imports; a removed source gives its key free (a re-used code is a new source).';
COMMENT ON COLUMN source.gb_id IS 'GB/T 28181 code, 20 digits: confidential (WX-26.1).';
COMMENT ON COLUMN source.location_type IS 'What the camera looks at; null = not attested, so no relay. Kept per source: a hall and a changing room share a site.';
COMMENT ON COLUMN source.lifecycle IS 'Administrative axis, apart from what is measured.';
COMMENT ON COLUMN source.lifecycle_reason IS 'For rejected: the requirement id, e.g. WX-9.';
COMMENT ON COLUMN source.audio_enabled IS 'Off until enabled with a legal basis.';
COMMENT ON COLUMN source.allow_basic IS 'Operator allowed Basic authentication outside TLS for this source alone.';

CREATE TABLE credential (
  credential_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  ref           text NOT NULL UNIQUE CHECK (ref <> ''),
  username      text,
  password_encrypted text,
  version       int NOT NULL DEFAULT 0,
  changed_at    timestamptz,
  changed_by    text,
  CHECK ((username IS NULL) = (password_encrypted IS NULL))
);
COMMENT ON TABLE credential IS 'What a device or a superior asks for. A ref named by the roll exists before anybody typed the password.';
COMMENT ON COLUMN credential.password_encrypted IS 'enc:v1:<key id>:<base64>, AES-256-GCM, bound to this row; the key is outside the database.';
COMMENT ON COLUMN credential.version IS 'Counts changes: a refused credential is tried again only when this moved or 30 minutes passed.';

CREATE TABLE endpoint (
  endpoint_id   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  source_id     bigint NOT NULL REFERENCES source,
  protocol      text NOT NULL CHECK (protocol IN ('rtsp', 'rtsps', 'onvif', 'gb28181')),
  host          text NOT NULL,
  port          int NOT NULL CHECK (port BETWEEN 1 AND 65535),
  path          text NOT NULL DEFAULT '/',
  transport     text NOT NULL DEFAULT 'tcp' CHECK (transport IN ('tcp', 'udp')),
  credential_id bigint REFERENCES credential,
  tls_pin_sha256 text CHECK (tls_pin_sha256 ~ '^[0-9a-f]{64}$'),
  origin        text NOT NULL CHECK (origin IN ('roll', 'operator', 'sighting')),
  confirmed_at  timestamptz,
  confirmed_by  text,
  priority      int NOT NULL DEFAULT 0,
  refusals      int NOT NULL DEFAULT 0,
  refused_at    timestamptz,
  refused_credential_version int,
  UNIQUE (source_id, protocol, host, port, path),
  CHECK ((confirmed_at IS NULL) = (confirmed_by IS NULL))
);
CREATE INDEX endpoint_by_address ON endpoint (host, port);
COMMENT ON TABLE endpoint IS 'One way to reach a source; several are tried in order of priority.';
COMMENT ON COLUMN endpoint.confirmed_at IS 'When a person attested that this address is this source; before that nothing is pulled and no credential sent.';
COMMENT ON COLUMN endpoint.refusals IS 'Consecutive refusals of the credential; at 2 no further try until it changes or 30 minutes passed.';

---------------------------------------------------------------------------------------------------------------
-- What was seen: authorisations, discovery, sightings
---------------------------------------------------------------------------------------------------------------

CREATE TABLE network (
  network_id    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  cidr          cidr NOT NULL,
  document      text NOT NULL CHECK (document <> ''),
  approver      text NOT NULL CHECK (approver <> ''),
  authorised_by text NOT NULL CHECK (authorised_by <> ''),
  authorised_at timestamptz NOT NULL DEFAULT now(),
  expires_at    timestamptz NOT NULL,
  revoked_at    timestamptz,
  revoked_by    text,
  CHECK (expires_at > authorised_at),
  CHECK ((revoked_at IS NULL) = (revoked_by IS NULL))
);
COMMENT ON TABLE network IS 'An authorisation record: without a live one covering an address nothing is sent there (CN-23.3).';
COMMENT ON COLUMN network.revoked_by IS 'The person who ended it before its expiry.';
COMMENT ON COLUMN network.document IS 'Number or title of the document that allows it.';

CREATE TABLE discovery_run (
  run_id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  network_id    bigint NOT NULL REFERENCES network,
  cidr          cidr NOT NULL,
  ports         int[] NOT NULL,
  requested_by  text NOT NULL,
  started_at    timestamptz NOT NULL DEFAULT now(),
  finished_at   timestamptz,
  addresses     int NOT NULL,
  probed        int NOT NULL DEFAULT 0,
  answered      int NOT NULL DEFAULT 0,
  outcome       text NOT NULL DEFAULT 'running' CHECK (outcome IN ('running', 'finished', 'stopped', 'failed'))
);
COMMENT ON TABLE discovery_run IS 'One sweep of one authorised network, with its progress.';

CREATE TABLE sighting (
  sighting_id   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  network_id    bigint REFERENCES network,
  protocol      text NOT NULL CHECK (protocol IN ('rtsp', 'rtsps', 'onvif', 'gb28181')),
  host          text NOT NULL,
  port          int NOT NULL CHECK (port BETWEEN 1 AND 65535),
  server        text,
  mac           text,
  serial        text,
  gb_id         text,
  detail        jsonb NOT NULL DEFAULT '{}',
  first_seen_at timestamptz NOT NULL,
  last_seen_at  timestamptz NOT NULL,
  state         text NOT NULL DEFAULT 'quarantined'
                CHECK (state IN ('quarantined', 'awaiting_confirmation', 'matched', 'accepted', 'refused')),
  source_id     bigint REFERENCES source,
  match_rule    text,
  match_reason  text,
  decided_at    timestamptz,
  decided_by    text,
  UNIQUE (protocol, host, port)
);
CREATE INDEX sighting_by_state ON sighting (state, last_seen_at);
COMMENT ON TABLE sighting IS 'What a discovery saw at one address. Unmatched ones are quarantined and forgotten after 30 days.';
COMMENT ON COLUMN sighting.match_rule IS 'Which ranked rule matched it, e.g. gb_id, mac, serial, address.';
COMMENT ON COLUMN sighting.match_reason IS 'The same in words, for the operator who confirms.';

---------------------------------------------------------------------------------------------------------------
-- Status: one writer, transitions only
---------------------------------------------------------------------------------------------------------------

CREATE TABLE connectivity (
  source_id     bigint PRIMARY KEY REFERENCES source,
  district      text NOT NULL,
  site_id       bigint NOT NULL,
  state         text NOT NULL DEFAULT 'never_connected'
                CHECK (state IN ('never_connected', 'online', 'degraded', 'offline')),
  since         timestamptz NOT NULL,
  reasons       text[] NOT NULL DEFAULT '{}',
  first_connected_at timestamptz,
  last_positive_at   timestamptz,
  unknown_reason text CHECK (unknown_reason IN ('restart_grace', 'common_cause_suspected', 'own_network_down', 'no_samples')),
  unknown_since  timestamptz,
  suspended_reason text CHECK (suspended_reason IN
                 ('planned_maintenance', 'force_majeure', 'municipal_works', 'ordered_by_authority',
                  'outside_operation')),
  suspended_since timestamptz,
  flapping      boolean NOT NULL DEFAULT false,
  seen_at       timestamptz,
  obstacle      text,
  counted       boolean NOT NULL DEFAULT true,
  CHECK ((state = 'never_connected') = (first_connected_at IS NULL)),
  CHECK ((state = 'degraded') = (reasons <> '{}')),
  CHECK ((unknown_reason IS NULL) = (unknown_since IS NULL)),
  CHECK ((suspended_reason IS NULL) = (suspended_since IS NULL))
) WITH (fillfactor = 70);
CREATE INDEX connectivity_never ON connectivity (district, source_id) WHERE state = 'never_connected' AND counted;
CREATE INDEX connectivity_offline ON connectivity (district, since) WHERE state = 'offline' AND counted;
CREATE INDEX connectivity_offline_since ON connectivity (since, source_id) WHERE state = 'offline' AND counted;
CREATE INDEX connectivity_by_site ON connectivity (site_id);
COMMENT ON TABLE connectivity IS 'The measured state of each source. Written by apply_changes alone, except for the row''s birth and retirement by the roll.';
COMMENT ON COLUMN connectivity.since IS 'Start of the present state; for offline: last positive evidence plus one interval.';
COMMENT ON COLUMN connectivity.reasons IS 'Open degrade reasons, sorted; empty unless degraded.';
COMMENT ON COLUMN connectivity.first_connected_at IS 'Written once, never cleared (domain: first connection).';
COMMENT ON COLUMN connectivity.last_positive_at IS 'Last positive evidence, exact when the source went offline; while online it was within the timeout by definition.';
COMMENT ON COLUMN connectivity.unknown_reason IS 'Laid over the state: we cannot see this source. Never a state of its own.';
COMMENT ON COLUMN connectivity.seen_at IS 'Device contact without a first connection (sub-state seen_not_connected).';
COMMENT ON COLUMN connectivity.obstacle IS 'One word why it is not relayed or not connected, e.g. no_endpoint, unreachable, authentication_failed.';
COMMENT ON COLUMN connectivity.counted IS 'False when the source is removed or rejected: outside every count.';

CREATE TABLE connectivity_interval (
  source_id     bigint NOT NULL,
  district      text NOT NULL,
  state         text NOT NULL CHECK (state IN ('never_connected', 'online', 'degraded', 'offline')),
  reasons       text[] NOT NULL DEFAULT '{}',
  started_at    timestamptz NOT NULL,
  ended_at      timestamptz NOT NULL,
  last_positive_at timestamptz,
  CHECK (ended_at > started_at)
) PARTITION BY RANGE (ended_at);
CREATE INDEX connectivity_interval_by_source ON connectivity_interval (source_id, ended_at);
CREATE INDEX connectivity_interval_by_end ON connectivity_interval USING brin (ended_at) WITH (pages_per_range = 32);
CREATE TABLE connectivity_interval_default PARTITION OF connectivity_interval DEFAULT;
COMMENT ON TABLE connectivity_interval IS 'Closed intervals of the history, half-open [started_at, ended_at), append-only, one partition a month.';
COMMENT ON TABLE connectivity_interval_default IS 'Catches what no month covers; muster check reports rows here.';

CREATE TABLE overlay_interval (
  overlay_id    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  gateway_id    text REFERENCES gateway,
  source_id     bigint REFERENCES source,
  kind          text NOT NULL CHECK (kind IN ('unknown', 'suspended')),
  reason        text NOT NULL,
  started_at    timestamptz NOT NULL,
  ended_at      timestamptz NOT NULL,
  CHECK (num_nonnulls(gateway_id, source_id) = 1),
  CHECK (ended_at > started_at)
);
CREATE INDEX overlay_of_source ON overlay_interval (source_id, ended_at) WHERE source_id IS NOT NULL;
CREATE INDEX overlay_of_gateway ON overlay_interval (gateway_id, ended_at) WHERE gateway_id IS NOT NULL;
CREATE INDEX overlay_by_end ON overlay_interval USING brin (ended_at) WITH (pages_per_range = 32);
COMMENT ON TABLE overlay_interval IS 'Closed intervals laid over the history: of one source, or of a gateway and so of all its sources.';

CREATE TABLE evidence (
  source_id     bigint NOT NULL,
  seq           bigint NOT NULL,
  district      text NOT NULL,
  kind          text NOT NULL,
  at            timestamptz NOT NULL,
  received_at   timestamptz NOT NULL,
  last_positive_at timestamptz,
  reason        text,
  state_after   text NOT NULL,
  unknown_after text,
  gateway_id    text NOT NULL,
  detail        jsonb NOT NULL DEFAULT '{}',
  PRIMARY KEY (source_id, seq)
);
CREATE INDEX evidence_by_seq ON evidence (seq);
CREATE INDEX evidence_by_incident ON evidence (gateway_id, (detail ->> 'incident')) WHERE detail ? 'incident';
COMMENT ON TABLE evidence IS 'Every fact that opens or closes an interval, appended in the transaction that changes the state. Never updated.';
COMMENT ON COLUMN evidence.source_id IS 'Of a source: who appends looks, and no source is ever deleted. A foreign key would look again, for a fifth of a storm''s time.';
COMMENT ON COLUMN evidence.seq IS 'Order of the gateway: epoch * 2^32 + counter. Also the id of the live event.';
COMMENT ON COLUMN evidence.at IS 'The instant the fact holds from (for lost: last positive evidence plus one interval).';
COMMENT ON COLUMN evidence.received_at IS 'When the gateway took it in.';
COMMENT ON COLUMN evidence.reason IS 'Cause in one stable word, e.g. unreachable, no_media, restart_grace.';

CREATE TABLE second_sight (
  source_id     bigint NOT NULL REFERENCES source,
  gateway_id    text NOT NULL REFERENCES gateway,
  seen_from     timestamptz NOT NULL,
  seen_until    timestamptz,
  PRIMARY KEY (source_id, gateway_id, seen_from),
  CHECK (seen_until > seen_from)
);
CREATE UNIQUE INDEX second_sight_open ON second_sight (gateway_id, source_id) WHERE seen_until IS NULL;
COMMENT ON TABLE second_sight IS 'When another gateway than the one that looks after a source had answers of it (status model 4.7, E14).';
COMMENT ON COLUMN second_sight.seen_until IS 'The last answer plus one interval; null while it goes on, up to second_sight_until of the gateway.';

CREATE TABLE incident (
  gateway_id    text NOT NULL REFERENCES gateway,
  name          text NOT NULL CHECK (name <> ''),
  silent_from   timestamptz NOT NULL,
  suspected_at  timestamptz NOT NULL,
  decided_at    timestamptz NOT NULL,
  fault         text NOT NULL CHECK (fault IN ('ours', 'not_ours')),
  basis         text NOT NULL CHECK (basis IN ('self_test', 'time_limit')),
  silent        int NOT NULL CHECK (silent > 0),
  PRIMARY KEY (gateway_id, name)
);
CREATE INDEX incident_by_time ON incident (silent_from);
COMMENT ON TABLE incident IS 'Many sources of a gateway went silent together, and whose fault it was (status model 4.7, E3).';
COMMENT ON COLUMN incident.silent_from IS 'Around this instant they went silent.';
COMMENT ON COLUMN incident.fault IS 'ours: they stayed unknown. not_ours: they were lost, each with evidence that names the incident.';
COMMENT ON COLUMN incident.basis IS 'Whether the self-test said so, or did not answer in time.';
COMMENT ON COLUMN incident.silent IS 'Sources that were silent when it was decided.';

CREATE TABLE site_rollup (
  site_id       bigint PRIMARY KEY REFERENCES site,
  district      text NOT NULL,
  gateway_id    text NOT NULL REFERENCES gateway,
  bound_from    date NOT NULL DEFAULT 'infinity',
  due_on        date,
  n_must        int NOT NULL DEFAULT 0,
  n_never       int NOT NULL DEFAULT 0,
  n_online      int NOT NULL DEFAULT 0,
  n_degraded    int NOT NULL DEFAULT 0,
  n_offline     int NOT NULL DEFAULT 0,
  n_unknown     int NOT NULL DEFAULT 0,
  n_suspended   int NOT NULL DEFAULT 0,
  n_unconnected int NOT NULL DEFAULT 0,
  first_connected_at timestamptz,
  offline_since timestamptz,
  CHECK (n_must = n_never + n_online + n_degraded + n_offline + n_unknown + n_suspended),
  CHECK (least(n_never, n_online, n_degraded, n_offline, n_unknown, n_suspended, n_unconnected) >= 0)
) WITH (fillfactor = 70);
CREATE INDEX site_rollup_due ON site_rollup (due_on, site_id) WHERE n_unconnected > 0;
CREATE INDEX site_rollup_due_of_district ON site_rollup (district, due_on, site_id) WHERE n_unconnected > 0;
CREATE INDEX site_rollup_offline ON site_rollup (district, site_id)
  WHERE n_online = 0 AND n_degraded = 0 AND n_unknown = 0 AND n_offline > 0;
COMMENT ON COLUMN site_rollup.bound_from IS 'The first day of the duties that stand; infinity without one.';
COMMENT ON COLUMN site_rollup.due_on IS 'The first due day of the duties that stand; null without one.';
COMMENT ON COLUMN site_rollup.n_unconnected IS 'Sources that never connected, whatever is displayed of them.';
COMMENT ON COLUMN site_rollup.offline_since IS 'When the last of its sources went offline, while none is seen to be there and none is unknown.';
COMMENT ON TABLE site_rollup IS 'Displayed states counted per site, kept by the same statements that change them. n_must counts every counted source.';

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

---------------------------------------------------------------------------------------------------------------
-- Closed days: accounts of whole local days, told from the history once it is complete (catalog/model/closed_day.py)
---------------------------------------------------------------------------------------------------------------

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
  outside_operation bigint,
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
  outside_operation bigint,
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

---------------------------------------------------------------------------------------------------------------
-- ONVIF devices: what they tell of themselves
---------------------------------------------------------------------------------------------------------------

CREATE TABLE onvif_device (
  endpoint_id   bigint PRIMARY KEY REFERENCES endpoint ON DELETE CASCADE,
  source_id     bigint NOT NULL REFERENCES source,
  asked_at      timestamptz NOT NULL,
  asked_version int,
  next_at       timestamptz NOT NULL,
  answered_at   timestamptz,
  failures      int NOT NULL DEFAULT 0,
  cause         text,
  failure       text,
  clock_offset  double precision,
  report        jsonb
);
COMMENT ON TABLE onvif_device IS 'The last interrogation of each ONVIF endpoint.';
COMMENT ON COLUMN onvif_device.asked_version IS 'Version of the credential that was used; another version makes it due at once.';
COMMENT ON COLUMN onvif_device.next_at IS 'When it is due again.';
COMMENT ON COLUMN onvif_device.answered_at IS 'Of the last interrogation that succeeded; report is what it told.';
COMMENT ON COLUMN onvif_device.failures IS 'Failed interrogations in a row.';
COMMENT ON COLUMN onvif_device.cause IS 'One word why the last one failed; null when it succeeded.';
COMMENT ON COLUMN onvif_device.clock_offset IS 'Seconds that the device''s clock was ahead of ours at answered_at.';
CREATE INDEX onvif_device_by_source ON onvif_device (source_id);

CREATE FUNCTION forget_told_streams() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  DELETE FROM endpoint
   WHERE source_id = OLD.source_id AND origin = 'sighting' AND confirmed_by = 'onvif:' || OLD.endpoint_id;
  RETURN NULL;
END $$;
COMMENT ON FUNCTION forget_told_streams() IS
  'Forgets the streams that an ONVIF device told once it is not the source''s any more, whoever decided that.';
CREATE TRIGGER onvif_endpoint_gone AFTER DELETE ON endpoint
  FOR EACH ROW WHEN (OLD.protocol = 'onvif') EXECUTE FUNCTION forget_told_streams();
CREATE TRIGGER onvif_endpoint_withdrawn AFTER UPDATE ON endpoint
  FOR EACH ROW WHEN (OLD.protocol = 'onvif' AND OLD.confirmed_at IS NOT NULL AND NEW.confirmed_at IS NULL)
  EXECUTE FUNCTION forget_told_streams();

CREATE TABLE device_event (
  event_id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  source_id     bigint NOT NULL REFERENCES source,
  at            timestamptz NOT NULL,
  kind          text NOT NULL CHECK (kind IN ('announced', 'said_goodbye', 'interrogated', 'firmware_changed',
                                              'identity_changed', 'identity_mismatch', 'clock_wrong', 'clock_right',
                                              'stream_changed', 'direction_changed')),
  person        text,
  detail        jsonb NOT NULL DEFAULT '{}'
);
COMMENT ON TABLE device_event IS 'Dated facts about a device that are evidence but no state: drift, clock, announcements, who turned it (WX-30.7, SX-16.3).';
COMMENT ON COLUMN device_event.person IS 'Who did it, for direction_changed.';
CREATE INDEX device_event_by_source ON device_event (source_id, at DESC);

---------------------------------------------------------------------------------------------------------------
-- GB/T 28181: devices and lower platforms that register with us
---------------------------------------------------------------------------------------------------------------

CREATE TABLE gb_device (
  device_id     text PRIMARY KEY CHECK (device_id ~ '^[0-9]{20}$'),
  gateway_id    text NOT NULL REFERENCES gateway,
  name          text NOT NULL DEFAULT '',
  credential_id bigint NOT NULL REFERENCES credential,
  media         text NOT NULL DEFAULT 'tcp_passive' CHECK (media IN ('udp', 'tcp_passive', 'tcp_active')),
  added_at      timestamptz NOT NULL,
  added_by      text NOT NULL CHECK (added_by <> ''),
  transport     text CHECK (transport IN ('udp', 'tcp')),
  host          text,
  port          int CHECK (port BETWEEN 1 AND 65535),
  link          int,
  registered_at timestamptz,
  expires_at    timestamptz,
  version       text NOT NULL DEFAULT '',
  user_agent    text NOT NULL DEFAULT '',
  left_at       timestamptz,
  left_why      text CHECK (left_why IN ('unregistered', 'expired')),
  told          jsonb NOT NULL DEFAULT '{}',
  clock_offset  double precision,
  catalog_at    timestamptz,
  catalog_whole boolean,
  stream        text NOT NULL DEFAULT 'main' CHECK (stream IN ('main', 'sub')),
  CHECK ((left_at IS NULL) = (left_why IS NULL))
);
COMMENT ON TABLE gb_device IS 'A device or lower platform that may register, with a password of its own, and its last registration.';
COMMENT ON COLUMN gb_device.media IS 'How its media come: by UDP, or by TCP to us (passive) or from us (active).';
COMMENT ON COLUMN gb_device.link IS 'Which of our UDP sockets it registered with, counted from 0.';
COMMENT ON COLUMN gb_device.registered_at IS 'Of the last REGISTER; null before the first.';
COMMENT ON COLUMN gb_device.expires_at IS 'Until then the last registration holds, unless it left.';
COMMENT ON COLUMN gb_device.told IS 'What it told of itself: DeviceInfo and DeviceStatus, field by field.';
COMMENT ON COLUMN gb_device.clock_offset IS 'Seconds that its clock was ahead of ours.';
COMMENT ON COLUMN gb_device.catalog_whole IS 'Whether the catalog of catalog_at held as many channels as it announced.';
COMMENT ON COLUMN gb_device.stream IS 'Which stream of its channels is asked for.';

CREATE TABLE gb_channel (
  device_id     text NOT NULL REFERENCES gb_device ON DELETE CASCADE,
  channel_id    text NOT NULL CHECK (channel_id ~ '^[0-9]{2,20}$'),
  name          text NOT NULL DEFAULT '',
  manufacturer  text NOT NULL DEFAULT '',
  model         text NOT NULL DEFAULT '',
  parent_id     text NOT NULL DEFAULT '',
  is_video      boolean NOT NULL,
  is_on         boolean,
  detail        jsonb NOT NULL DEFAULT '{}',
  first_seen_at timestamptz NOT NULL,
  last_seen_at  timestamptz NOT NULL,
  missing_since timestamptz,
  PRIMARY KEY (device_id, channel_id)
);
CREATE INDEX gb_channel_by_code ON gb_channel (channel_id);
COMMENT ON TABLE gb_channel IS 'What a device told of its channels. A code may stand under two devices; the roll decides whose it is.';
COMMENT ON COLUMN gb_channel.is_on IS 'Its last Status or ON and OFF; null where it says nothing that we know. Stale in the field: never a state by itself.';
COMMENT ON COLUMN gb_channel.missing_since IS 'Since when whole catalogs of its device do not hold it any more.';

CREATE TABLE gb_stranger (
  device_id     text PRIMARY KEY CHECK (device_id <> ''),
  transport     text NOT NULL,
  host          text NOT NULL,
  port          int NOT NULL,
  why           text NOT NULL,
  user_agent    text NOT NULL,
  times         bigint NOT NULL CHECK (times > 0),
  first_at      timestamptz NOT NULL,
  last_at       timestamptz NOT NULL,
  refused_at    timestamptz,
  refused_by    text,
  CHECK ((refused_at IS NULL) = (refused_by IS NULL))
);
CREATE INDEX gb_stranger_by_time ON gb_stranger (last_at);
COMMENT ON TABLE gb_stranger IS 'Quarantine: who tried to register and was refused, last from where and why. Forgotten 30 days after its last try.';
COMMENT ON COLUMN gb_stranger.refused_by IS 'The person who decided that it stays outside; it only stops being shown as waiting.';

CREATE TABLE gb_event (
  event_id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  device_id     text NOT NULL,
  channel_id    text NOT NULL DEFAULT '',
  at            timestamptz NOT NULL,
  kind          text NOT NULL CHECK (kind IN ('registered', 'moved', 'unregistered', 'expired', 'channel_on',
                                              'channel_off', 'video_lost', 'defect', 'channel_added', 'channel_gone',
                                              'faulty', 'well', 'alarm', 'position', 'clock', 'claimed_twice')),
  detail        jsonb NOT NULL DEFAULT '{}'
);
CREATE INDEX gb_event_by_device ON gb_event (device_id, at DESC);
COMMENT ON TABLE gb_event IS 'Dated facts that a device told or showed: evidence beside the states. Append-only; outlives the account.';
COMMENT ON COLUMN gb_event.channel_id IS 'Empty: of the device itself.';

---------------------------------------------------------------------------------------------------------------
-- Publication, superiors, access
---------------------------------------------------------------------------------------------------------------

CREATE TABLE edition (
  edition_id    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  district      text NOT NULL REFERENCES jurisdiction,
  number        text NOT NULL UNIQUE,
  profile       text NOT NULL,
  legal_basis   text NOT NULL,
  issued_by     text NOT NULL,
  contact       text NOT NULL,
  compiled_at   timestamptz NOT NULL,
  published_at  timestamptz NOT NULL,
  published_by  text NOT NULL,
  effective_from date NOT NULL
);
COMMENT ON TABLE edition IS 'A published edition of the catalog of what must connect (WX-21.3). Never changed.';
COMMENT ON COLUMN edition.published_by IS 'The person who published it: for the log, not part of the public view.';

CREATE TABLE edition_entry (
  edition_id    bigint NOT NULL REFERENCES edition,
  position      int NOT NULL,
  entry_id      uuid NOT NULL,
  holder        text NOT NULL,
  class         text NOT NULL,
  district      text NOT NULL,
  site_name     text,
  due_on        date NOT NULL,
  basis         text NOT NULL,
  PRIMARY KEY (edition_id, position)
);
COMMENT ON TABLE edition_entry IS 'One public row a duty: the allow-list of what the public may see, and nothing else.';
COMMENT ON COLUMN edition_entry.site_name IS 'Null where the class is sensitive and its name suppressed.';

CREATE TABLE edition_withdrawal (
  edition_id    bigint PRIMARY KEY REFERENCES edition,
  withdrawn_at  timestamptz NOT NULL,
  withdrawn_by  text NOT NULL CHECK (withdrawn_by <> ''),
  reason        text NOT NULL CHECK (reason <> '')
);
COMMENT ON TABLE edition_withdrawal IS 'An edition that no longer counts: the one before it does again. Both stay readable.';
COMMENT ON COLUMN edition_withdrawal.withdrawn_by IS 'For the log, not part of the public view.';
COMMENT ON COLUMN edition_withdrawal.reason IS 'Shown to the public.';

CREATE TABLE edition_proposal (
  proposal_id   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  district      text NOT NULL REFERENCES jurisdiction,
  effective_from date NOT NULL,
  entries       int NOT NULL CHECK (entries >= 0),
  entries_sha256 text NOT NULL CHECK (entries_sha256 ~ '^[0-9a-f]{64}$'),
  proposed_at   timestamptz NOT NULL,
  proposed_by   text NOT NULL CHECK (proposed_by <> ''),
  token_prefix  text
);
CREATE INDEX edition_proposal_by_district ON edition_proposal (district, proposal_id);
COMMENT ON TABLE edition_proposal IS 'A compiled edition that waits for a second person. What it would publish is compiled again when it is approved.';
COMMENT ON COLUMN edition_proposal.entries_sha256 IS 'Of the canonical JSON of what would be public: approved is what was proposed, or nothing.';
COMMENT ON COLUMN edition_proposal.token_prefix IS 'The token that proposed it; null on the command line.';

CREATE TABLE edition_decision (
  proposal_id   bigint PRIMARY KEY REFERENCES edition_proposal,
  decision      text NOT NULL CHECK (decision IN ('approved', 'rejected')),
  decided_at    timestamptz NOT NULL,
  decided_by    text NOT NULL CHECK (decided_by <> ''),
  reason        text NOT NULL DEFAULT '' CHECK (decision = 'approved' OR reason <> ''),
  edition_id    bigint REFERENCES edition CHECK ((decision = 'approved') = (edition_id IS NOT NULL))
);
COMMENT ON TABLE edition_decision IS 'What a second person decided about a proposal; once.';

CREATE TABLE stored_report (
  number        text NOT NULL,
  revision      int NOT NULL CHECK (revision > 0),
  district      text NOT NULL REFERENCES jurisdiction,
  region        text NOT NULL CHECK (region ~ '^([0-9]{2}){0,3}$'),
  first_day     date NOT NULL,
  last_day      date NOT NULL CHECK (last_day >= first_day),
  starts_at     timestamptz NOT NULL,
  ends_at       timestamptz NOT NULL CHECK (ends_at > starts_at),
  told_by       text NOT NULL DEFAULT 'source' CHECK (told_by IN ('source', 'site')),
  place_class   text CHECK (place_class <> ''),
  unit          text CHECK (unit <> ''),
  edition       text CHECK (edition <> ''),
  made_at       timestamptz NOT NULL,
  made_by       text NOT NULL CHECK (made_by <> ''),
  reason        text CHECK (reason <> ''),
  content_sha256 text NOT NULL CHECK (content_sha256 ~ '^[0-9a-f]{64}$'),
  signed        text NOT NULL,
  PRIMARY KEY (number, revision),
  CHECK ((revision = 1) = (reason IS NULL))
);
CREATE INDEX stored_report_by_time ON stored_report (made_at, number, revision);
COMMENT ON TABLE stored_report IS 'Reports of a region and period as they were signed. A report told anew is a new revision; the earlier ones stay.';
COMMENT ON COLUMN stored_report.number IS 'Counts the reports about a region and of a local year.';
COMMENT ON COLUMN stored_report.district IS 'Whose report it is: the jurisdiction of the installation.';
COMMENT ON COLUMN stored_report.region IS 'Prefix of the administrative codes that it tells of.';
COMMENT ON COLUMN stored_report.ends_at IS 'The same in all revisions, though the last day may not have been over.';
COMMENT ON COLUMN stored_report.told_by IS 'What its lines stand for: sources, from their histories, or sites, from closed days.';
COMMENT ON COLUMN stored_report.place_class IS 'Only places of this class; null for all. So with unit and edition.';
COMMENT ON COLUMN stored_report.reason IS 'Why it was told anew.';
COMMENT ON COLUMN stored_report.content_sha256 IS 'Of the canonical JSON of the content: two revisions never have the same one after the other.';
COMMENT ON COLUMN stored_report.signed IS 'The signed document, as text: the same bytes whoever asks.';

CREATE TABLE compliance_case (
  case_id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  number        text NOT NULL UNIQUE,
  district      text NOT NULL REFERENCES jurisdiction,
  site_id       bigint NOT NULL REFERENCES site,
  duty_id       bigint NOT NULL REFERENCES duty,
  opened_at     timestamptz NOT NULL,
  evidence      jsonb NOT NULL,
  evidence_sha256 text NOT NULL CHECK (evidence_sha256 ~ '^[0-9a-f]{64}$')
);
CREATE INDEX compliance_case_by_site ON compliance_case (site_id);
CREATE INDEX compliance_case_by_district ON compliance_case (district, case_id);
COMMENT ON TABLE compliance_case IS 'A site that must connect and has sources that never did (WX-21, WX-34). Where it stands follows from its steps and the day.';
COMMENT ON COLUMN compliance_case.evidence IS 'What was known when it was found: duty, sources, how long the platform could have accepted. Never changed.';
COMMENT ON COLUMN compliance_case.evidence_sha256 IS 'Of the canonical JSON of evidence.';

CREATE TABLE case_step (
  case_id       bigint NOT NULL REFERENCES compliance_case,
  position      int NOT NULL CHECK (position > 0),
  step          text NOT NULL CHECK (step IN ('verify', 'dispute', 'answer', 'order', 'extend', 'appeal', 'resume',
                                              'rectify', 'refer', 'withdraw', 'close')),
  at            timestamptz NOT NULL,
  on_day        date NOT NULL,
  person        text NOT NULL CHECK (person <> ''),
  detail        jsonb NOT NULL,
  PRIMARY KEY (case_id, position)
);
COMMENT ON TABLE case_step IS 'What people did to a case, in order; the table of steps is catalog/model/case.py.';
COMMENT ON COLUMN case_step.on_day IS 'The local day of at: deadlines are local days.';
COMMENT ON COLUMN case_step.person IS 'Who entered it; whose act it is stands in detail (organ, by).';

CREATE TABLE dispute (
  dispute_id    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  source_id     bigint NOT NULL REFERENCES source,
  first_day     date NOT NULL,
  last_day      date NOT NULL CHECK (last_day >= first_day),
  raised_by     text NOT NULL CHECK (raised_by <> ''),
  text          text NOT NULL CHECK (text <> ''),
  document      text NOT NULL,
  running_from  timestamptz,
  running_until timestamptz,
  raised_at     timestamptz NOT NULL,
  entered_by    text NOT NULL CHECK (entered_by <> ''),
  CHECK ((running_from IS NULL) = (running_until IS NULL)),
  CHECK (running_until > running_from)
);
CREATE INDEX dispute_by_source ON dispute (source_id, dispute_id);
COMMENT ON TABLE dispute IS 'What a unit objects to of a source''s status in a period. It stands on every evidence sheet that holds one of the days.';
COMMENT ON COLUMN dispute.raised_by IS 'Whose objection it is: the unit.';
COMMENT ON COLUMN dispute.running_from IS 'When the unit shows the source to have been running: upheld, it is late evidence, and the history is told with it.';
COMMENT ON COLUMN dispute.entered_by IS 'Who entered it.';

CREATE TABLE dispute_answer (
  dispute_id    bigint PRIMARY KEY REFERENCES dispute,
  is_upheld     boolean NOT NULL,
  text          text NOT NULL CHECK (text <> ''),
  answered_at   timestamptz NOT NULL,
  answered_by   text NOT NULL CHECK (answered_by <> '')
);
COMMENT ON TABLE dispute_answer IS 'What was answered; once. Before it nothing is ordered about the source''s site.';
COMMENT ON COLUMN dispute_answer.is_upheld IS 'Whether the objection was found right. What follows from that is entered where it belongs, e.g. as a suspension.';

CREATE TABLE attestation (
  attestation_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  system_id     bigint NOT NULL REFERENCES system,
  fact          text NOT NULL CHECK (fact IN ('in_use_on', 'accepted_on', 'filed_on', 'interface_reserved', 'sign_posted',
                                              'mlps_met', 'archive_kept', 'capture_range_fixed', 'with_the_works',
                                              'place_kind', 'national_place', 'state_owned', 'place_owner',
                                              'place_manager', 'agreed_builder', 'builder', 'user',
                                              'publicly_funded', 'stored_days')),
  value         text NOT NULL CHECK (value <> ''),
  document      text NOT NULL CHECK (document <> ''),
  attested_at   timestamptz NOT NULL,
  attested_by   text NOT NULL CHECK (attested_by <> '')
);
CREATE INDEX attestation_by_system ON attestation (system_id, fact, attestation_id);
COMMENT ON TABLE attestation IS 'What people attested of a system, on which document. The last one of a fact counts; none is changed.';
COMMENT ON COLUMN attestation.value IS 'A day, a word or a name: catalog/model/compliance.py says which.';

CREATE TABLE suspension (
  suspension_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  site_id       bigint NOT NULL REFERENCES site,
  source_id     bigint REFERENCES source,
  reason        text NOT NULL CHECK (reason IN
                ('planned_maintenance', 'force_majeure', 'municipal_works', 'ordered_by_authority',
                 'outside_operation')),
  starts_at     timestamptz NOT NULL,
  ends_at       timestamptz NOT NULL,
  document      text NOT NULL CHECK (document <> ''),
  requested_at  timestamptz NOT NULL,
  requested_by  text NOT NULL CHECK (requested_by <> ''),
  rest_begins   time,
  rest_ends     time,
  rest_weekdays int[] CHECK (rest_weekdays <@ '{1,2,3,4,5,6,7}' AND rest_weekdays <> '{}'),
  CHECK (ends_at > starts_at),
  CHECK (num_nonnulls(rest_begins, rest_ends, rest_weekdays) = CASE reason WHEN 'outside_operation' THEN 3 ELSE 0 END)
);
CREATE INDEX suspension_by_site ON suspension (site_id, ends_at);
COMMENT ON TABLE suspension IS 'A window in which a site, or one source of it, is asked not to be charged. It counts once it is approved.';
COMMENT ON COLUMN suspension.source_id IS 'Null: the whole site.';
COMMENT ON COLUMN suspension.rest_begins IS 'Only these hours of the window count, in local time: the source does not operate in them.';
COMMENT ON COLUMN suspension.rest_ends IS 'Of the next day where it is not after rest_begins.';
COMMENT ON COLUMN suspension.rest_weekdays IS 'On which the hours begin; Monday is 1.';
COMMENT ON COLUMN suspension.starts_at IS 'Before requested_at: retroactive, and approved by two people.';

CREATE TABLE suspension_act (
  suspension_id bigint NOT NULL REFERENCES suspension,
  position      int NOT NULL CHECK (position > 0),
  act           text NOT NULL CHECK (act IN ('approve', 'withdraw', 'end')),
  at            timestamptz NOT NULL,
  person        text NOT NULL CHECK (person <> ''),
  text          text NOT NULL,
  PRIMARY KEY (suspension_id, position)
);
COMMENT ON TABLE suspension_act IS 'What people did to a suspension, in order; catalog/model/suspension.py says what may be done.';

CREATE TABLE sink (
  sink_id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  name          text NOT NULL UNIQUE CHECK (name <> ''),
  host          text NOT NULL,
  port          int NOT NULL CHECK (port BETWEEN 1 AND 65535),
  path_prefix   text NOT NULL DEFAULT '/' CHECK (path_prefix LIKE '/%'),
  tls           boolean NOT NULL DEFAULT false,
  tls_pin_sha256 text CHECK (tls_pin_sha256 ~ '^[0-9a-f]{64}$'),
  allow_basic   boolean NOT NULL DEFAULT false,
  credential_id bigint REFERENCES credential,
  enabled       boolean NOT NULL DEFAULT true
);
COMMENT ON TABLE sink IS 'A central platform that takes our streams by RTSP RECORD at path_prefix + the source''s code.';

CREATE TABLE notice_target (
  target_id     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  name          text NOT NULL UNIQUE CHECK (name <> ''),
  gateway_id    text NOT NULL REFERENCES gateway,
  kind          text NOT NULL CHECK (kind IN ('webhook', 'mail')),
  address       text NOT NULL CHECK (address <> ''),
  sender        text,
  recipients    text[] NOT NULL DEFAULT '{}',
  credential_id bigint REFERENCES credential,
  region        text NOT NULL DEFAULT '' CHECK (region ~ '^([0-9]{2}){0,3}$'),
  events        text[] NOT NULL,
  collect       int NOT NULL CHECK (collect BETWEEN 0 AND 86400),
  language      text NOT NULL CHECK (language IN ('zh', 'en')),
  told_seq      bigint NOT NULL,
  told_day      date NOT NULL,
  pending_seq   bigint CHECK (pending_seq >= told_seq),
  pending_day   date,
  sent_at       timestamptz,
  failing_since timestamptz,
  failure       text,
  CHECK ((kind = 'mail') = (sender IS NOT NULL AND recipients <> '{}')),
  CHECK ((pending_seq IS NULL) = (pending_day IS NULL))
);
COMMENT ON TABLE notice_target IS 'Who is told what happens, and how far. What waits to be told is the evidence after told_seq: nothing is queued besides.';
COMMENT ON COLUMN notice_target.gateway_id IS 'The gateway that tells it.';
COMMENT ON COLUMN notice_target.address IS 'URL of the webhook, or of the mail server (smtp://host:port, smtps://host:port); never with a secret in it.';
COMMENT ON COLUMN notice_target.credential_id IS 'Its password signs the webhook; user name and password log in to the mail server.';
COMMENT ON COLUMN notice_target.collect IS 'Seconds for which things are gathered into one notice.';
COMMENT ON COLUMN notice_target.told_seq IS 'Evidence up to here has been told.';
COMMENT ON COLUMN notice_target.told_day IS 'Days before this local day have been told of.';
COMMENT ON COLUMN notice_target.pending_seq IS 'The notice under way tells up to here: sent again after a failure, it is the same one under the same id.';
COMMENT ON COLUMN notice_target.failure IS 'Why the last attempt failed; null after one that succeeded.';

CREATE TABLE access_token (
  token_id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  prefix        text NOT NULL UNIQUE,
  token_hash    bytea NOT NULL UNIQUE,
  person        text NOT NULL CHECK (person <> ''),
  role          text NOT NULL CHECK (role IN ('police_status', 'operator')),
  region        text NOT NULL DEFAULT '' CHECK (region ~ '^([0-9]{2}){0,3}$'),
  created_at    timestamptz NOT NULL DEFAULT now(),
  expires_at    timestamptz,
  revoked_at    timestamptz
);
COMMENT ON TABLE access_token IS 'A bearer token of one named person; only its SHA-256 is kept (the token has 256 random bits).';
COMMENT ON COLUMN access_token.prefix IS 'First characters, to recognise it in a list; no help in guessing the rest.';
COMMENT ON COLUMN access_token.region IS 'Prefix of the administrative code it may see; empty = all.';

CREATE TABLE access_log (
  entry_id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  at            timestamptz NOT NULL,
  person        text,
  role          text NOT NULL,
  token_prefix  text,
  client        text NOT NULL,
  method        text NOT NULL,
  route         text NOT NULL,
  scope         text NOT NULL,
  purpose       text,
  status        int NOT NULL
);
CREATE INDEX access_log_by_time ON access_log (at);
COMMENT ON TABLE access_log IS 'Every call: who, what, what for, with what result (WX-29.1, SX-16.6, CN-16.3). Append-only.';
COMMENT ON COLUMN access_log.scope IS 'What was asked for: ids, filter or count; never a secret.';

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'table % is append-only (WX-31.3)', TG_TABLE_NAME;
END $$;
COMMENT ON FUNCTION refuse_change() IS 'Guards the append-only tables against our own mistakes; operation records are never altered (WX-31.3).';
CREATE TRIGGER source_never_deleted BEFORE DELETE OR TRUNCATE ON source EXECUTE FUNCTION refuse_change();
CREATE TRIGGER evidence_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON evidence EXECUTE FUNCTION refuse_change();
CREATE TRIGGER access_log_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON access_log EXECUTE FUNCTION refuse_change();
CREATE TRIGGER edition_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON edition EXECUTE FUNCTION refuse_change();
CREATE TRIGGER edition_entry_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON edition_entry EXECUTE FUNCTION refuse_change();
CREATE TRIGGER edition_withdrawal_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON edition_withdrawal EXECUTE FUNCTION refuse_change();
CREATE TRIGGER edition_proposal_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON edition_proposal EXECUTE FUNCTION refuse_change();
CREATE TRIGGER edition_decision_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON edition_decision EXECUTE FUNCTION refuse_change();
CREATE TRIGGER connectivity_interval_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON connectivity_interval EXECUTE FUNCTION refuse_change();
CREATE TRIGGER device_event_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON device_event EXECUTE FUNCTION refuse_change();
CREATE TRIGGER compliance_case_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON compliance_case EXECUTE FUNCTION refuse_change();
CREATE TRIGGER case_step_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON case_step EXECUTE FUNCTION refuse_change();
CREATE TRIGGER dispute_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON dispute EXECUTE FUNCTION refuse_change();
CREATE TRIGGER dispute_answer_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON dispute_answer EXECUTE FUNCTION refuse_change();
CREATE TRIGGER attestation_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON attestation EXECUTE FUNCTION refuse_change();
CREATE TRIGGER suspension_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON suspension EXECUTE FUNCTION refuse_change();
CREATE TRIGGER suspension_act_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON suspension_act EXECUTE FUNCTION refuse_change();
CREATE TRIGGER stored_report_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON stored_report EXECUTE FUNCTION refuse_change();
CREATE TRIGGER gb_event_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON gb_event EXECUTE FUNCTION refuse_change();

CREATE FUNCTION announce_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM pg_notify('muster_changed', TG_TABLE_NAME);
  RETURN NULL;
END $$;
COMMENT ON FUNCTION announce_change() IS 'Tells a running gateway on channel muster_changed which table changed, whoever changed it.';
CREATE TRIGGER source_changed AFTER INSERT OR UPDATE OR DELETE ON source EXECUTE FUNCTION announce_change();
CREATE TRIGGER endpoint_changed AFTER INSERT OR UPDATE OR DELETE ON endpoint EXECUTE FUNCTION announce_change();
CREATE TRIGGER credential_changed AFTER INSERT OR UPDATE OR DELETE ON credential EXECUTE FUNCTION announce_change();
CREATE TRIGGER network_changed AFTER INSERT OR UPDATE OR DELETE ON network EXECUTE FUNCTION announce_change();
CREATE TRIGGER sink_changed AFTER INSERT OR UPDATE OR DELETE ON sink EXECUTE FUNCTION announce_change();
CREATE TRIGGER jurisdiction_changed AFTER INSERT OR UPDATE OR DELETE ON jurisdiction EXECUTE FUNCTION announce_change();
CREATE TRIGGER gb_device_changed AFTER INSERT OR DELETE OR UPDATE OF name, credential_id, media ON gb_device
  EXECUTE FUNCTION announce_change();

---------------------------------------------------------------------------------------------------------------
-- Functions: the displayed state, the one writer, the recount
---------------------------------------------------------------------------------------------------------------

CREATE FUNCTION local_day(p_at timestamptz) RETURNS date LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
  SELECT (p_at AT TIME ZONE 'Asia/Shanghai')::date
$$;
COMMENT ON FUNCTION local_day(timestamptz) IS 'The local day of an instant.';

CREATE FUNCTION local_midnight(p_day date) RETURNS timestamptz LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
  SELECT p_day::timestamp AT TIME ZONE 'Asia/Shanghai'
$$;
COMMENT ON FUNCTION local_midnight(date) IS 'When a local day begins.';

CREATE FUNCTION displayed_state(state text, unknown_reason text, suspended_reason text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
  SELECT CASE WHEN suspended_reason IS NOT NULL THEN 'suspended'
              WHEN unknown_reason IS NOT NULL THEN 'unknown'
              ELSE state END
$$;
COMMENT ON FUNCTION displayed_state(text, text, text) IS
  'First match wins: suspended, unknown, then the measured state. (removed and rejected are not counted at all.)';

CREATE FUNCTION ensure_partitions(p_from date, p_months int) RETURNS int LANGUAGE plpgsql AS $$
DECLARE
  first date := date_trunc('month', p_from)::date;
  month date;
  made int := 0;
BEGIN
  FOR i IN 0 .. p_months - 1 LOOP
    month := (first + make_interval(months => i))::date;
    IF to_regclass(format('connectivity_interval_%s', to_char(month, 'YYYYMM'))) IS NULL THEN
      EXECUTE format('CREATE TABLE connectivity_interval_%s PARTITION OF connectivity_interval '
                     'FOR VALUES FROM (%L) TO (%L)', to_char(month, 'YYYYMM'),
                     month::timestamp AT TIME ZONE 'UTC', (month + interval '1 month') AT TIME ZONE 'UTC');
      made := made + 1;
    END IF;
  END LOOP;
  RETURN made;
END $$;
COMMENT ON FUNCTION ensure_partitions(date, int) IS 'Makes the monthly partitions of the history ahead of time; called at each start and daily.';

CREATE FUNCTION apply_changes(
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
COMMENT ON FUNCTION apply_changes(text, bigint, bigint[], text[], timestamptz[], text[], timestamptz[], text[], timestamptz[], text[], timestamptz[], boolean[]) IS
  'The one writer of status: fenced by the gateway''s epoch, harmless when repeated, closes intervals, keeps the roll-ups. A source stands once in a call.';

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

CREATE FUNCTION recount_rollups(p_sites bigint[]) RETURNS void LANGUAGE sql AS $$
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
COMMENT ON FUNCTION recount_rollups(bigint[]) IS
  'Counts the given sites anew, after the roll changed who belongs to them. Call it in the same transaction; muster check compares all with it.';

CREATE FUNCTION suspensions_in_force(p_from timestamptz, p_until timestamptz)
RETURNS TABLE (suspension_id bigint, site_id bigint, source_id bigint, reason text, starts_at timestamptz,
               ends_at timestamptz, retroactive boolean) LANGUAGE sql STABLE PARALLEL SAFE AS $$
  SELECT w.suspension_id, w.site_id, w.source_id, w.reason, h.starts_at, h.ends_at, w.retroactive
    FROM (SELECT s.*, s.starts_at < s.requested_at AS retroactive, least(s.ends_at, a.ended_at) AS ends, a.approvals,
                 a.withdrawn
            FROM suspension s
            JOIN LATERAL (
              SELECT count(DISTINCT person) FILTER (WHERE act = 'approve') AS approvals,
                     coalesce(bool_or(act = 'withdraw'), false) AS withdrawn,
                     min(at) FILTER (WHERE act = 'end') AS ended_at
                FROM suspension_act x WHERE x.suspension_id = s.suspension_id) a ON true) w
   CROSS JOIN LATERAL (
      SELECT w.starts_at, w.ends AS ends_at WHERE w.rest_begins IS NULL
      UNION ALL
      SELECT greatest(w.starts_at, (d + w.rest_begins) AT TIME ZONE 'Asia/Shanghai'),
             least(w.ends, (d + CASE WHEN w.rest_ends > w.rest_begins THEN '0 d' ELSE '1 d' END::interval + w.rest_ends)
                           AT TIME ZONE 'Asia/Shanghai')
        FROM generate_series((local_day(greatest(w.starts_at, p_from)) - 1)::timestamp,
                             local_day(least(w.ends, p_until))::timestamp, '1 d') d
       WHERE w.rest_begins IS NOT NULL AND extract(isodow FROM d) = ANY (w.rest_weekdays)) h
   WHERE NOT w.withdrawn AND w.approvals >= CASE WHEN w.retroactive THEN 2 ELSE 1 END
     AND h.ends_at > h.starts_at AND h.ends_at >= p_from AND h.starts_at <= p_until
$$;
COMMENT ON FUNCTION suspensions_in_force(timestamptz, timestamptz) IS
  'The windows between two instants that count: approved (retroactive ones by two people), not withdrawn, up to where they were ended. Of one with hours of rest each rest is a window (catalog/model/operation.py).';

CREATE FUNCTION site_is_of(p_site bigint, p_class text, p_unit text) RETURNS boolean LANGUAGE sql STABLE PARALLEL SAFE AS $$
  SELECT EXISTS (SELECT FROM site t JOIN system y ON y.system_id = t.system_id JOIN unit u ON u.unit_id = y.unit_id
                  WHERE t.site_id = p_site AND (p_class IS NULL OR t.class = p_class) AND (p_unit IS NULL OR u.name = p_unit))
$$;
COMMENT ON FUNCTION site_is_of(bigint, text, text) IS 'Whether a site is of a class and of a unit; null for any.';

CREATE FUNCTION gateway_sight(p_now timestamptz, p_stale interval)
RETURNS TABLE (gateway_id text, blind_reason text, blind_since timestamptz) LANGUAGE sql STABLE PARALLEL SAFE AS $$
  SELECT g.gateway_id, CASE WHEN is_blind THEN 'gateway_down' END,
         CASE WHEN is_blind THEN coalesce(g.observed_until, g.started_at, '-infinity') END
    FROM gateway g, LATERAL (SELECT g.observed_until IS NULL OR g.observed_until < p_now - p_stale AS is_blind) b
$$;
COMMENT ON FUNCTION gateway_sight(timestamptz, interval) IS
  'Which gateways cannot see at p_now, why and since when: its last word is older than p_stale.';

CREATE FUNCTION seen_elsewhere(p_now timestamptz, p_stale interval)
RETURNS TABLE (source_id bigint, seen_from timestamptz) LANGUAGE sql STABLE PARALLEL SAFE AS $$
  SELECT x.source_id, x.seen_from
    FROM second_sight x JOIN gateway g ON g.gateway_id = x.gateway_id
   WHERE x.seen_until IS NULL AND g.second_sight_until >= p_now - p_stale
$$;
COMMENT ON FUNCTION seen_elsewhere(timestamptz, interval) IS 'Which sources another gateway sees at p_now.';

CREATE FUNCTION source_status(p_now timestamptz, p_stale interval)
RETURNS TABLE (
  source_id bigint, district text, site_id bigint, gateway_id text, gb_id text, name text, location_type text,
  lifecycle text, lifecycle_reason text, relay_mode text, audio_enabled boolean, allow_basic boolean,
  retired_at timestamptz, state text, state_since timestamptz, reasons text[], first_connected_at timestamptz,
  last_positive_at timestamptz, unknown_reason text, suspended_reason text, flapping boolean, seen_at timestamptz,
  obstacle text, counted boolean, shown text, shown_since timestamptz
) LANGUAGE sql STABLE PARALLEL SAFE AS $$
  SELECT s.source_id, s.district, s.site_id, g.gateway_id, s.gb_id, s.name, s.location_type,
         s.lifecycle, s.lifecycle_reason, s.relay_mode, s.audio_enabled, s.allow_basic,
         s.retired_at, c.state, c.since, c.reasons, c.first_connected_at,
         c.last_positive_at, h.reason, c.suspended_reason, c.flapping, c.seen_at,
         c.obstacle, c.counted,
         CASE WHEN s.lifecycle IN ('removed', 'rejected') THEN s.lifecycle
              ELSE displayed_state(CASE WHEN e.seen_from IS NOT NULL AND c.state = 'offline' THEN 'online' ELSE c.state END,
                                   h.reason, c.suspended_reason) END,
         CASE WHEN s.lifecycle = 'removed' THEN s.retired_at
              WHEN s.lifecycle = 'rejected' THEN NULL
              WHEN c.suspended_reason IS NOT NULL THEN c.suspended_since
              WHEN h.reason IS NOT NULL THEN greatest(least(g.blind_since, c.unknown_since), s.created_at)
              WHEN c.state = 'offline' THEN greatest(c.since, e.seen_from)
              ELSE c.since END
    FROM source s
    JOIN connectivity c ON c.source_id = s.source_id
    JOIN site t ON t.site_id = s.site_id
    JOIN gateway_sight(p_now, p_stale) g ON g.gateway_id = t.gateway_id
    -- While its own gateway sees, that one is told by the others and decides.
    LEFT JOIN LATERAL (
      SELECT min(x.seen_from) AS seen_from FROM seen_elsewhere(p_now, p_stale) x
       WHERE g.blind_reason IS NOT NULL AND c.state <> 'never_connected' AND x.source_id = s.source_id) e ON true
   CROSS JOIN LATERAL (
      SELECT CASE WHEN e.seen_from IS NULL THEN coalesce(g.blind_reason, c.unknown_reason) END AS reason) h
$$;
COMMENT ON FUNCTION source_status(timestamptz, interval) IS
  'The displayed state of every source at p_now, in its one place (4.2): removed, rejected, suspended, unknown, measured. Behind a blind gateway, what another one sees.';

---------------------------------------------------------------------------------------------------------------
-- What makes a day that is over stale. What the one writer learns late, apply_changes notes itself.
---------------------------------------------------------------------------------------------------------------

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

CREATE FUNCTION day_stale_by_dispute() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO day_stale (site_id, from_day)
  SELECT s.site_id, local_day(d.running_from) FROM dispute d JOIN source s ON s.source_id = d.source_id
   WHERE d.dispute_id = NEW.dispute_id AND d.running_from < local_midnight(local_day(now()));
  RETURN NULL;
END $$;
COMMENT ON FUNCTION day_stale_by_dispute() IS 'Late evidence about a day that is over was found right.';
CREATE TRIGGER dispute_answer_makes_stale AFTER INSERT ON dispute_answer
  FOR EACH ROW WHEN (NEW.is_upheld) EXECUTE FUNCTION day_stale_by_dispute();
