"""What goes wrong in telling."""


class NoticeNotTaken(Exception):
    """Raised when a target did not take a notice; the message names the target and says why, without any secret."""
