-- Who is told what happens.

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
