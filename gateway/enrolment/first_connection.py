"""The first connection as the status model defines it (4.3): what must hold, and what one pull session has proven.

Pure. An answer to OPTIONS or DESCRIBE proves nothing here, and neither does PLAY.
"""

from dataclasses import dataclass, replace

from gateway.relay.protocol import (
    Playing,
    RelayEnded,
    SinkState,
    SinkStateChanged,
    SourceEvent,
    VerificationFinished,
)


@dataclass(frozen=True, slots=True)
class Proof:
    """What is proven of one source by its present pull session.

    The session's end takes everything back but the operator's word: pieces of two sessions may be pieces of two
    devices.
    """

    is_matched: bool
    "Whether the address belongs to a source of the roll."
    is_confirmed: bool
    "Whether a person attested that this address is this source."
    needs_superior: bool
    "Whether a sink is configured. Without one Muster is the shared platform itself."
    is_authenticated: bool = False
    "Whether the device took the credential that is stored for it."
    is_verified: bool = False
    "Whether enough video came without a gap, with a key frame of it decoded."
    is_recording: bool = False
    "Whether the superior answered RECORD with 200 and the connection is still up."

    def after(self, event: SourceEvent) -> "Proof":
        """Return the proof after one more event of this source."""
        match event:
            case Playing():
                return replace(self, is_authenticated=event.authenticated)
            case VerificationFinished():
                return replace(self, is_verified=event.passed and event.received >= event.needed)
            case SinkStateChanged():
                return replace(self, is_recording=event.state is SinkState.RECORDING)
            case RelayEnded():
                return self.of_new_session()
            case _:
                return self

    def of_new_session(self) -> "Proof":
        """Return what is left when another session begins."""
        return replace(self, is_authenticated=False, is_verified=False, is_recording=False)

    @property
    def is_first_connection(self) -> bool:
        """Whether all conditions hold at once."""
        is_identified = self.is_confirmed or self.is_authenticated
        is_accepted = self.is_recording or not self.needs_superior
        return is_identified and self.is_matched and self.is_verified and is_accepted
