"""Which way leads to an address."""

from typing import assert_never

from penstock_redis.address import Address, BehindSentinels, InCluster, OneServer
from penstock_redis.cluster import ClusterRoute
from penstock_redis.route import FixedRoute, Route
from penstock_redis.sentinels import SentinelRoute


def route_of(address: Address, place: str) -> Route:
    """Make the way to an address. `place` begins each error's sentence."""
    match address:
        case OneServer():
            return FixedRoute(address)
        case BehindSentinels():
            return SentinelRoute(address, place)
        case InCluster():
            return ClusterRoute(address, place)
    assert_never(address)
