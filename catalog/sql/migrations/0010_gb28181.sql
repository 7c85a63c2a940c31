-- GB/T 28181: the devices and lower platforms that register with us, their channels, and who was refused.

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
CREATE TRIGGER gb_event_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON gb_event EXECUTE FUNCTION refuse_change();

CREATE TRIGGER gb_device_changed AFTER INSERT OR DELETE OR UPDATE OF name, credential_id, media ON gb_device
  EXECUTE FUNCTION announce_change();
