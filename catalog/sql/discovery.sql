-- Sweeps of authorised networks. A process holds an advisory lock for each of its runs: who is dead holds none.

-- name: run_lock_starts
-- Let one process at a time begin a run, until its transaction ends.
-- $1: bigint, key of the lock
SELECT pg_advisory_xact_lock($1);

-- name: run_fail_abandoned
-- Mark the running ones whose process is gone as failed: nobody holds their lock.
-- $1: bigint, first key of the locks of runs; $2: timestamptz, now
WITH running AS MATERIALIZED (SELECT run_id FROM discovery_run WHERE outcome = 'running'),
     abandoned AS MATERIALIZED (SELECT run_id FROM running WHERE pg_try_advisory_xact_lock($1 + run_id))
UPDATE discovery_run r SET outcome = 'failed', finished_at = greatest($2, r.started_at)
  FROM abandoned a WHERE r.run_id = a.run_id AND r.outcome = 'running'
RETURNING r.run_id;

-- name: run_running
-- The runs under way, whichever process leads them, and whether they touch a network.
-- $1: cidr
SELECT run_id, cidr && $1 AS overlaps FROM discovery_run WHERE outcome = 'running' ORDER BY run_id;

-- name: run_begin
-- Enter a run.
-- $1: bigint, the authorisation; $2: cidr; $3: int[], ports; $4: text, who asked; $5: timestamptz, now; $6: int, addresses
INSERT INTO discovery_run (network_id, cidr, ports, requested_by, started_at, addresses)
VALUES ($1, $2, $3, $4, $5, $6) RETURNING run_id;

-- name: run_hold
-- Take the lock of a run for as long as this connection lives.
-- $1: bigint, first key of the locks of runs; $2: bigint, the run
SELECT pg_advisory_lock($1::bigint + $2::bigint);

-- name: run_progress
-- Note how far a run has come; touches no row when it was stopped or given up meanwhile.
-- $1: bigint, the run; $2: int, questions asked; $3: int, answers
UPDATE discovery_run SET probed = $2, answered = $3 WHERE run_id = $1 AND outcome = 'running';

-- name: run_finish
-- End a run; an outcome that it has already stays.
-- $1: bigint, the run; $2: text, outcome; $3: int, questions asked; $4: int, answers; $5: timestamptz, now
UPDATE discovery_run
   SET probed = greatest(probed, $3), answered = greatest(answered, $4),
       outcome = CASE WHEN outcome = 'running' THEN $2 ELSE outcome END,
       finished_at = coalesce(finished_at, greatest($5, started_at))
 WHERE run_id = $1
RETURNING run_id, network_id, cidr, ports, requested_by, started_at, finished_at, addresses, probed, answered, outcome;

-- name: run_stop
-- Stop a run; whoever leads it notices with its next progress.
-- $1: bigint, the run; $2: timestamptz, now
UPDATE discovery_run SET outcome = 'stopped', finished_at = greatest($2, started_at)
 WHERE run_id = $1 AND outcome = 'running';

-- name: run_list
-- The last runs, the newest first.
-- $1: bigint, only older than this run, or null; $2: int, how many
SELECT run_id, network_id, cidr, ports, requested_by, started_at, finished_at, addresses, probed, answered, outcome
  FROM discovery_run WHERE $1::bigint IS NULL OR run_id < $1
 ORDER BY run_id DESC LIMIT $2;

-- name: run_one
-- One run.
-- $1: bigint, the run
SELECT run_id, network_id, cidr, ports, requested_by, started_at, finished_at, addresses, probed, answered, outcome
  FROM discovery_run WHERE run_id = $1;
