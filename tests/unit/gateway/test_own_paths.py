"""Paths to the sources over interfaces that come and go."""

import resource

from gateway.interfaces import Link, LinuxKernel
from gateway.own_paths import MISSING_FOR, OwnPaths
from tests.clock import HandClock

CAMERA, OTHER = "10.1.2.11", "10.9.9.1"


class Machine:
    """A kernel with two interfaces: cameras behind one, everything else behind the other."""

    def __init__(self) -> None:
        self.links = {"cameras": Link.UP, "uplink": Link.UP}

    def interface_to(self, host: str) -> str | None:
        return "cameras" if host.startswith("10.1.") and self.links["cameras"] is Link.UP else "uplink"

    def link(self, interface: str) -> Link:
        return self.links[interface]


def paths(machine: Machine, clock: HandClock | None = None) -> OwnPaths:
    made = OwnPaths(clock or HandClock(), machine)
    made.learn([CAMERA, OTHER])
    return made


def test_while_all_interfaces_are_up_no_path_is_lost() -> None:
    known = paths(Machine())

    assert not known.is_lost(CAMERA)
    assert not known.is_lost(OTHER)


def test_an_interface_that_goes_down_loses_the_paths_behind_it_alone() -> None:
    machine = Machine()
    known = paths(machine)
    machine.links["cameras"] = Link.DOWN
    known.learn([CAMERA, OTHER])

    assert known.is_lost(CAMERA)
    assert known.is_lost("10.1.2.200")
    assert not known.is_lost(OTHER)


def test_the_default_route_is_not_learnt_in_place_of_a_lost_path() -> None:
    machine = Machine()
    known = paths(machine)
    machine.links["cameras"] = Link.DOWN
    known.learn([CAMERA])
    machine.links["cameras"] = Link.UP

    assert not known.is_lost(CAMERA)


def test_an_interface_that_is_gone_is_ours_for_five_minutes_and_then_removed_on_purpose() -> None:
    machine, clock = Machine(), HandClock()
    known = paths(machine, clock)
    machine.links["cameras"] = Link.MISSING
    lost = known.is_lost(CAMERA)
    clock.advance(MISSING_FOR)

    assert lost
    assert not known.is_lost(CAMERA)


def test_an_address_never_learnt_is_not_lost() -> None:
    assert not OwnPaths(HandClock(), Machine()).is_lost("10.200.1.1")


def test_this_machines_kernel_reaches_loopback_by_an_interface_that_is_up() -> None:
    kernel = LinuxKernel()

    assert kernel.interface_to("127.0.0.1") == "lo"
    assert kernel.link("lo") is Link.UP
    assert kernel.link("no-such-if0") is Link.MISSING


def test_without_a_descriptor_to_ask_with_nothing_is_held_against_an_interface() -> None:
    kernel = LinuxKernel()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    try:
        answers = (kernel.link("lo"), kernel.interface_to("127.0.0.1"))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    assert answers == (Link.UP, None)
