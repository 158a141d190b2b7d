"""Why a node does not do what it is asked, sorted by what who asks can do about it."""

from penstock.api import PenstockError


class NotKnown(PenstockError):
    """There is nothing of this name. Another name may be meant."""


class WrongRequest(PenstockError):
    """This can never be done: the request itself is wrong."""


class NotNow(PenstockError):
    """It can not be done as things stand. The sentence says what has to be different."""
