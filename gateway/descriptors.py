"""How many files and sockets a process of ours may hold."""

import resource


def raise_file_limit() -> None:
    """Allow as many as this process may have: the usual soft limit of 1,024 is less than one round of probes.

    A relay takes two, over UDP up to six.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
