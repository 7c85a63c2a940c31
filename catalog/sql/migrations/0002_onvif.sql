-- What interrogations of ONVIF devices tell, and the dated history of each device.

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
CREATE TRIGGER device_event_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON device_event EXECUTE FUNCTION refuse_change();
