-- How far the recordings of a system reach back is a fact that is attested.

ALTER TABLE attestation DROP CONSTRAINT attestation_fact_check;
ALTER TABLE attestation ADD CONSTRAINT attestation_fact_check CHECK (fact IN (
  'in_use_on', 'accepted_on', 'filed_on', 'interface_reserved', 'sign_posted', 'mlps_met', 'archive_kept',
  'capture_range_fixed', 'with_the_works', 'place_kind', 'national_place', 'state_owned', 'place_owner',
  'place_manager', 'agreed_builder', 'builder', 'user', 'publicly_funded', 'stored_days'));
