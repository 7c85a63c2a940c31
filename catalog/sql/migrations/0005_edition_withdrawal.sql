-- Editions that were withdrawn, and why.

CREATE TABLE edition_withdrawal (
  edition_id    bigint PRIMARY KEY REFERENCES edition,
  withdrawn_at  timestamptz NOT NULL,
  withdrawn_by  text NOT NULL CHECK (withdrawn_by <> ''),
  reason        text NOT NULL CHECK (reason <> '')
);
COMMENT ON TABLE edition_withdrawal IS 'An edition that no longer counts: the one before it does again. Both stay readable.';
COMMENT ON COLUMN edition_withdrawal.withdrawn_by IS 'For the log, not part of the public view.';
COMMENT ON COLUMN edition_withdrawal.reason IS 'Shown to the public.';
CREATE TRIGGER edition_withdrawal_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON edition_withdrawal EXECUTE FUNCTION refuse_change();
