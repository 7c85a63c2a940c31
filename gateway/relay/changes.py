"""What is done about a stream that does not simply go on: `continuity.POLICIES`, applied to one session. Sans-IO."""

from collections.abc import Callable, Sequence
from typing import Final

from adapters.media.parameter_sets import PictureFormat
from adapters.media.sdp import Format
from gateway.relay.chunk import MediaChunk, Run
from gateway.relay.continuity import POLICIES, Continuity, Do, Finding, Seen
from gateway.relay.facts import Reporter, Totals
from gateway.relay.fanout import Fanout
from gateway.relay.parameters import ParameterWatch
from gateway.relay.protocol import PictureFormatSeen, StreamFound

TELL_AGAIN: Final = 60.0
"""Seconds in which the same finding is told once."""
END_AGAIN: Final = 300.0
"""Seconds in which a relay's session is ended once for a change of its stream."""


class Changes:
    """Look at what one session delivers before it is passed on.

    Args:
        channel: of the video's RTP.
        chosen: the video as described.
        totals: of the relay.
        fanout: of the relay.
        reporter: of the relay.
        end: ends the session; is told why, in words for people.
    """

    def __init__(
        self,
        channel: int,
        chosen: Format,
        totals: Totals,
        fanout: Fanout,
        reporter: Reporter,
        end: Callable[[str], None],
    ) -> None:
        self._continuity = Continuity(chosen.clock_rate)
        self._parameters = ParameterWatch(channel, chosen)
        self._totals = totals
        self._fanout = fanout
        self._reporter = reporter
        self._end_session = end
        self._counts: dict[Finding, int] = {}
        self._told_at: dict[Finding, float] = {}
        self._forgets = False
        "Whether the group of pictures kept is to be forgotten before the next run."
        self._is_over = False
        self._is_calm = True
        "Whether a run without pictures needs no look."

    def take(self, chunk: MediaChunk, run: Run) -> MediaChunk | None:
        """Return what of the next run may be passed on; None for nothing. The hot path."""
        continuity = self._continuity
        if self._is_calm and not (chunk.pictures or chunk.keys or run.foreign):
            packets = continuity.packets + run.video_packets
            if packets <= continuity.still_at:
                continuity.packets = packets
                return chunk
        if self._is_over:
            return None
        if self._forgets:
            self._forgets = False
            self._fanout.forget()
        seen = continuity.take(chunk, run)
        if self._is_calm and not (seen or chunk.keys):
            return chunk
        return self._look(seen, chunk)

    def _look(self, seen: list[Seen], chunk: MediaChunk) -> MediaChunk | None:
        """Look for parameter sets, and act on all that is found up to what ends the session."""
        formats: list[tuple[int, PictureFormat]] = []
        if chunk.keys or self._parameters.is_open:
            seen = sorted((*seen, *self._parameters.take(chunk)), key=lambda each: each.offset)
            formats = self._parameters.formats
        passed = self._act_on(seen, chunk)
        for offset, each in formats:
            # What a session that ends here has seen of the next stream is that one's to tell.
            if passed is not None and offset < len(passed.data):
                self._tell_format(each)
        self._settle()
        return passed

    def _settle(self) -> None:
        self._is_calm = not (self._is_over or self._forgets or self._parameters.is_open)

    def _act_on(self, seen: Sequence[Seen], chunk: MediaChunk) -> MediaChunk | None:
        for each in seen:
            passed = self._act(each, chunk)
            if passed is not chunk:
                return passed
        return chunk

    def _act(self, seen: Seen, chunk: MediaChunk) -> MediaChunk | None:
        """Do what the table says; return what of `chunk` may be passed on."""
        finding, policy = seen.finding, POLICIES[seen.finding]
        self._counts[finding] = self._counts.get(finding, 0) + 1
        self._totals.lost_packets += seen.packets
        ends = Do.END in policy and self._may_end(chunk.at)
        if Do.COUNT in policy:
            self._totals.discontinuities += 1
        if Do.TELL in policy:
            self._tell(seen, chunk.at, ends=ends)
        if Do.DESCRIBE in policy:
            self._fanout.describe(self._parameters.offered())
        if ends:
            return self._end(seen, chunk)
        if Do.END in policy or Do.FORGET in policy:
            self._forget(seen.offset, chunk)
        return chunk

    def _may_end(self, at: float) -> bool:
        before = self._totals.began_anew_at
        return before is None or at - before >= END_AGAIN

    def _end(self, seen: Seen, chunk: MediaChunk) -> MediaChunk | None:
        """End the session; what came in front of the change still goes out."""
        self._is_over, self._totals.began_anew_at = True, chunk.at
        self._end_session(f"{seen.finding.value} {seen.detail}".strip())
        return chunk.until(seen.offset) if seen.offset else None

    def _forget(self, offset: int, chunk: MediaChunk) -> None:
        """Forget what came before the break, but no key picture behind it."""
        self._fanout.forget()
        self._forgets = bool(chunk.keys) and chunk.keys[-1] < offset

    def _tell(self, seen: Seen, at: float, *, ends: bool) -> None:
        before = self._told_at.get(seen.finding)
        if before is not None and at - before < TELL_AGAIN and not ends:
            return
        self._told_at[seen.finding] = at
        count = self._counts[seen.finding]
        self._reporter.report(StreamFound(*self._reporter.times(), seen.finding, count, ends, seen.detail))

    def _tell_format(self, seen: PictureFormat) -> None:
        self._reporter.report(
            PictureFormatSeen(
                *self._reporter.times(),
                seen.codec,
                seen.profile,
                seen.width,
                seen.height,
                seen.is_interlaced,
            )
        )
