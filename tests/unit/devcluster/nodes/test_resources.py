"""GPUs and addresses are handed out once."""

from tunesmith_devcluster.nodes.resources import Addresses, Gpus


def test_gpus_are_given_once_and_come_back():
    gpus = Gpus(8)
    assert gpus.take("a", 6) == [0, 1, 2, 3, 4, 5]
    assert gpus.take("b", 3) is None
    gpus.give_back("a")
    assert gpus.take("b", 8) == list(range(8))


def test_lost_gpus_are_no_longer_given():
    gpus = Gpus(8)
    gpus.lost = 3
    assert gpus.allocatable == 5
    assert gpus.take("a", 6) is None


def test_an_address_is_not_used_again_at_once():
    addresses = Addresses("127.64.1.0/24")
    first = addresses.take()
    assert first == "127.64.1.2"  # the first of the range stays the node's
    addresses.give_back(first)
    assert addresses.take() == "127.64.1.3"
